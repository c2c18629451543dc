"""The job store: one folder an element job, complete when its record is there.

<store>/<job>/<fingerprint>/record.json  config.yaml  metrics.jsonl  claim  out/  logs/  attempts/
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.hashing import ContentHashes

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
                    "%s: %s is missing or was changed since it was recorded; the job runs again", job, path
                )
                return None
        return record

    def others(self, job: str) -> list[JobRecord]:
        """All records of a job, newest first: what a new fingerprint is compared with."""
        folders = sorted((self.root / job).glob("*/record.json"), key=lambda path: -path.stat().st_mtime)
        return [record for path in folders if (record := self._read(path.parent))]

    def commit(self, record: JobRecord) -> None:
        """Write the record, durably and all at once."""
        folder = self.folder(record.job, record.fingerprint)
        data = asdict(record)
        data["outputs"] = _mark_paths(record.outputs, set(record.hashes), folder)
        data["hashes"] = {_relative(path, folder): value for path, value in record.hashes.items()}
        write_durably(folder / "record.json", json.dumps(data, indent=1))

    @contextmanager
    def claim(self, job: str, fingerprint: str) -> Iterator[Path]:
        """Hold an element job, so that nobody else does it at the same time; waits for who holds it.

        The claim is a lock of the kernel on ``claim``: it goes with its owner, however that ends.
        Programs that the owner starts inherit it, so that one which outlives a killed owner still
        holds the job; an owner that comes to its end releases it for all. Holds between processes of
        one host.
        """
        folder = self.folder(job, fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "claim", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle, job)
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            os.set_inheritable(handle, True)
            yield folder
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # also for what a program left behind and still inherits it
            os.close(handle)

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


def write_durably(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a crash of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _lock(handle: int, job: str) -> None:
    told = False
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                owner = os.pread(handle, 32, 0).decode().strip() or "?"
                who = owner if Path("/proc", owner).exists() else f"{owner}, or what it left behind,"
                log.info("%s: process %s is doing this job; waiting to reuse its result", job, who)
                told = True
            time.sleep(0.2)


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
