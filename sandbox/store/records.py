"""The job store: one folder an element job, complete when its record is there.

<store>/<job>/<fingerprint>/record.json  config.yaml  metrics.jsonl  out/  logs/  attempts/
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.store.claims import Claim, take
from sandbox.store.content import ContentHashes

log = logging.getLogger(__name__)

_PATH_MARK = "$path"


@dataclass(frozen=True)
class JobRecord:
    """What a finished element job leaves behind; its file is written last.

    Args:
        job: Name of the job.
        fingerprint: Hash of ``parts``.
        parts: What the fingerprint is made of: argument or input → value or content hash.
        outputs: Outputs by name; plain JSON, paths as strings.
        hashes: Content hash of every output that is a path, by path.
        metrics: What was watched while it ran: ``{"metrics": {...}, "step": ...}``, in order.
        run: When, where, how long and by what command; versions and source hashes.
    """

    job: str
    fingerprint: str
    parts: Mapping[str, Any]
    outputs: Mapping[str, Any]
    hashes: Mapping[str, str]
    metrics: list[Mapping[str, Any]] = field(default_factory=list)
    run: Mapping[str, Any] = field(default_factory=dict)


class JobStore:
    """Records of element jobs, shared by runs, trials and iterations.

    Args:
        root: Folder of the store; made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.hashes = ContentHashes(self.root)

    def folder(self, job: str, fingerprint: str) -> Path:
        """Folder of one element job."""
        return self.root / job / fingerprint

    def find(self, job: str, fingerprint: str) -> JobRecord | None:
        """The record of a finished element job whose outputs are there and unchanged, else ``None``."""
        record = self._read(self.folder(job, fingerprint))
        if record is None:
            return None
        for path, expected in record.hashes.items():
            if not Path(path).exists() or self.hashes.of(Path(path)) != expected:
                log.warning(
                    "%s: %s is missing or was changed since it was recorded; the job runs again",
                    job,
                    path,
                )
                return None
        return record

    def others(self, job: str) -> list[JobRecord]:
        """All records of a job, newest first: what a new fingerprint is compared with."""
        folders = sorted(
            (self.root / job).glob("*/record.json"), key=lambda path: -path.stat().st_mtime
        )
        return [record for path in folders if (record := self._read(path.parent))]

    def commit(self, record: JobRecord, claim: Claim) -> None:
        """Write the record, durably and all at once; its claim ends with that.

        Raises:
            ClaimLost: Somebody has taken the job over.
        """
        folder = self.folder(record.job, record.fingerprint)
        data = asdict(record)
        data["outputs"] = _mark_paths(record.outputs, set(record.hashes), folder)
        data["hashes"] = {_relative(path, folder): value for path, value in record.hashes.items()}
        claim.end_as(folder / "record.json", json.dumps(data, indent=1))

    @contextmanager
    def claim(
        self, job: str, fingerprint: str, is_done: Callable[[], bool]
    ) -> Iterator[Claim | None]:
        """Hold an element job, so that nobody else does it at the same time; waits for who holds it.

        Gives ``None`` where ``is_done`` says, before or after the wait, that there is nothing to do.
        """
        claim = take(self.folder(job, fingerprint), job, is_done)
        try:
            yield claim
        finally:
            if claim:
                claim.release()

    def _read(self, folder: Path) -> JobRecord | None:
        path = folder / "record.json"
        try:
            data = json.loads(path.read_text())
            data["outputs"] = _plain_paths(data["outputs"], folder)
            data["hashes"] = {str(folder / name): value for name, value in data["hashes"].items()}
            return JobRecord(**data)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is no record (%s); the job runs again", path, error)
            return None


def _relative(path: str, folder: Path) -> str:
    return os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path


def _mark_paths(value: Any, paths: set[str], folder: Path) -> Any:
    if isinstance(value, str) and value in paths:
        return {_PATH_MARK: _relative(value, folder)}
    if isinstance(value, Mapping):
        return {key: _mark_paths(child, paths, folder) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mark_paths(child, paths, folder) for child in value]
    return value


def _plain_paths(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        if set(value) == {_PATH_MARK}:
            return str(folder / value[_PATH_MARK])
        return {key: _plain_paths(child, folder) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain_paths(child, folder) for child in value]
    return value
