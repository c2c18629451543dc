"""The job store: one folder an element job, complete when its record is there.

<store>/<job>/<fingerprint>/record.json  config.yaml  metrics.jsonl  out/  logs/  attempts/
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.components.tree import mapped
from sandbox.store.claims import Claim, take
from sandbox.store.content import ContentHashes
from sandbox.store.metrics import Event, read_metrics

log = logging.getLogger(__name__)

_PATH_MARK = "$path"
_CONTENT_MARK = "$content"

RESERVED_KEYS = frozenset({_PATH_MARK, _CONTENT_MARK, "_target_"})
"""Keys that mean something else than data, so that no mapping in an output may have them."""

_FORMAT = 1
"""Part of every seal: raise it when the fields of a record change, so that older ones are none."""


@dataclass(frozen=True)
class Content:
    """A file or folder as a fingerprint sees it.

    Args:
        name: Its name, or its path inside the output of an earlier job.
        hash: Hash of its content.
    """

    name: str
    hash: str


@dataclass(frozen=True)
class JobRecord:
    """Record of a finished element job; its file is written last.

    Args:
        job: Name of the job.
        fingerprint: Hash of ``parts``.
        attempt: Number of the attempt that made it.
        parts: What the fingerprint is made of: argument or input → value or ``Content``.
        outputs: Outputs by name: JSON values, and ``Path`` for files and folders.
        hashes: Content hash of every output that is a path, and of ``metrics``, by path.
        metrics: File of what was watched while it ran; in records of earlier versions the metrics
            themselves, and empty where nothing was watched. Read by :meth:`events`.
        run: When, where and by what command; what it cost (``Usage``, in records of earlier
            versions only ``seconds``); versions and source hashes.
    """

    job: str
    fingerprint: str
    attempt: int
    parts: Mapping[str, Any]
    outputs: Mapping[str, Any]
    hashes: Mapping[str, str]
    metrics: Path | Sequence[Event] = ()
    run: Mapping[str, Any] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        """Yield what was watched while it ran, in order; of a step that was repeated, the last."""
        yield from read_metrics(self.metrics) if isinstance(self.metrics, Path) else self.metrics


class JobStore:
    """Records of element jobs, shared by runs, trials and iterations.

    Args:
        root: Folder of the store; made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.hashes = ContentHashes(self.root)

    def folder(self, job: str, fingerprint: str) -> Path:
        """Return the folder of one element job."""
        return self.root / job / fingerprint

    def find(self, job: str, fingerprint: str) -> JobRecord | None:
        """Return the record of a finished element job whose outputs are there and unchanged."""
        record = self._read(self.folder(job, fingerprint))
        if record is None:
            return None
        for path, expected in record.hashes.items():
            if self._hash(path) != expected:
                _warn_once(
                    f"{job}: {path} is missing or was changed since it was recorded;"
                    " the job runs again"
                )
                return None
        return record

    def others(self, job: str) -> list[JobRecord]:
        """Return all records of a job, newest first, to compare a new fingerprint with."""
        found = map(self._read, (self.root / job).glob("*"))
        records = [record for record in found if record is not None]
        return sorted(records, key=lambda record: -record.run["ended"])

    def attempts(self, job: str) -> dict[str, int]:
        """Return the number of the attempt that made each record of a job, by fingerprint."""
        return {record.fingerprint: record.attempt for record in self.others(job)}

    def commit(self, record: JobRecord, claim: Claim) -> None:
        """Write the record, durably and all at once; its claim ends with that.

        Raises:
            ClaimLost: Another process has taken the job over.
        """
        folder = self.folder(record.job, record.fingerprint)
        hashes = {_relative(Path(path), folder): value for path, value in record.hashes.items()}
        content = json.dumps(as_json({**vars(record), "hashes": hashes}, folder))
        data = json.loads(content)  # as it will be read
        text = json.dumps({"seal": _seal(data), **data}, indent=1)
        claim.end_as(folder / "record.json", text)

    @contextmanager
    def claim(
        self, job: str, fingerprint: str, is_done: Callable[[], bool]
    ) -> Iterator[Claim | None]:
        """Hold an element job, so that no other process does it meanwhile; waits for its holder.

        Yields ``None`` if ``is_done``, before or after the wait, finds nothing left to do.
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
            return _parsed(path.read_text(encoding="utf-8"), folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (IsADirectoryError, ValueError, RecursionError) as error:
            _warn_once(f"{path} is no record ({error}); the job runs again")
            return None

    def _hash(self, path: str) -> str:
        try:
            return self.hashes.of(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            return ""


def _parsed(text: str, folder: Path) -> JobRecord:
    """Return the record in the file of a job's folder.

    The seal answers for the shape: a file whose seal fits is, to the last value, what ``commit``
    wrote. So nothing else has to look at the types of its fields, or expect a damaged one.

    Raises:
        ValueError: It is damaged, of another format, or the record of another folder.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("seal", None) != _seal(data):
        raise ValueError("damaged, or written by another version")
    if (data["job"], data["fingerprint"]) != (folder.parent.name, folder.name):
        raise ValueError(f"copied from {data['job']}/{data['fingerprint']}")
    run = data.pop("run")  # long, and without paths
    data = _from_json(data, folder)
    data["hashes"] = {str(folder / name): value for name, value in data["hashes"].items()}
    return JobRecord(**data, run=run)


def _seal(data: Mapping[str, Any]) -> str:
    """Return the hash of everything in a record."""
    content = json.dumps([_FORMAT, data], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@functools.cache
def _warn_once(message: str) -> None:
    """Log a warning; not again, because launcher and attempt both look at a record."""
    log.warning("%s", message)


def as_json(value: Any, folder: Path | None = None) -> Any:
    """Return recorded data as JSON: marks for paths and contents.

    Args:
        value: Plain data with ``Path`` and ``Content`` in it.
        folder: Paths below it become relative to it, so that a store can move; ``None`` keeps all.
    """

    def leaf(item: Any) -> Any:
        if isinstance(item, Path):
            return {_PATH_MARK: _relative(item, folder) if folder else str(item)}
        if isinstance(item, Content):
            return {_CONTENT_MARK: [item.name, item.hash]}
        return item

    return mapped(value, leaf)


def _from_json(value: Any, folder: Path) -> Any:
    """Return recorded data with its paths, absolute, and contents."""
    if isinstance(value, list):
        return [_from_json(child, folder) for child in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_PATH_MARK}:
        return folder / value[_PATH_MARK]
    if set(value) == {_CONTENT_MARK}:
        name, content_hash = value[_CONTENT_MARK]
        return Content(name, content_hash)
    return {key: _from_json(child, folder) for key, child in value.items()}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)
