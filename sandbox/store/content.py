"""Hash the content of files and folders; hashes are remembered by path, size, mtime and inode."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.samples import (
    MEDIA_KEYS,
    SampleError,
    format_of,
    is_pool,
    is_relative,
    json_chunks,
    media_folder,
    parquet_batches,
    stats_beside,
)
from sandbox.system.files import append_line, fault_text, special_text
from sandbox.system.follow import FileFollower

log = logging.getLogger(__name__)

_MEDIA_LIST = re.compile(rb'"(?:images|videos|audios)"\s*:\s*(\[[^\]]*\])')
"""The lists of media files in a Data-Juicer sample; inside a text its quotes would be escaped."""

_SHA = re.compile("[0-9a-f]{64}")
_ABSENT = (FileNotFoundError, NotADirectoryError)
_Identity = tuple[str, int, int, int]
"""Path, size, mtime and inode."""


def canonical(value: Any) -> str:
    """Return the one text of a JSON value, whatever the order of its keys.

    Raises:
        TypeError: The value is not JSON; such a value has no fingerprint.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(text: str) -> str:
    """Return the SHA-256 of a text, hexadecimal."""
    # names of files may hold bytes that are no text
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


class ContentHashes:
    """Content hashes under one store.

    A data pool counts with its media: those inside the store by content, others by path, size and
    mtime, because reading a picture collection at every start would cost more than the run.

    Args:
        store_dir: Root of the job store; ``hashes.jsonl`` in it remembers what was hashed.
    """

    def __init__(self, store_dir: Path) -> None:
        self._store_dir = store_dir.absolute()
        self._inside = (f"{self._store_dir}{os.sep}", f"{self._store_dir.resolve()}{os.sep}")
        self._memory = _memory(self._store_dir / "hashes.jsonl")
        self._memory.catch_up()
        self._folders: dict[str, str] = {}
        self._whole: dict[_Identity, str] = {}
        self._media: dict[str, str] = {}

    def of(self, path: Path) -> str:
        """Return the hash of a file's content, or of every file below a folder.

        Raises:
            FileNotFoundError: There is nothing at ``path``.
            ValueError: It is a FIFO, a socket or a device, or a pool there names one.
        """
        name = str(path.absolute())
        if not path.is_dir():
            return self._of_one(name)
        if name not in self._folders:
            files = sorted(_files(name))
            lines = [f"{file[len(name) + 1 :]}\n{self._of_one(file)}" for file in files]
            self._folders[name] = digest("\n".join(lines))
        return self._folders[name]

    def refresh(self) -> None:
        """Forget the folders and media seen so far: a job that has run may have changed them."""
        self._folders.clear()
        self._whole.clear()
        self._media.clear()

    def _of_one(self, name: str) -> str:
        return self._of_samples(name) if is_pool(name) else self._of_file(name)

    def _of_file(self, name: str) -> str:
        key = _identity(name)
        if key not in self._memory.hashes:
            with Path(name).open("rb") as file:
                self._memory.add(key, hashlib.file_digest(file, "sha256").hexdigest())
        return self._memory.hashes[key]

    def _of_samples(self, name: str) -> str:
        key = _identity(name)
        if key not in self._whole:
            parts = [self._of_file(name)]
            beside = stats_beside(Path(name))
            if beside is not None:
                parts.append(self._of_file(str(beside)))
            parts += map(self._of_media, sorted(_media(name)))
            self._whole[key] = digest("\n".join(parts)) if len(parts) > 1 else parts[0]
        return self._whole[key]

    def _of_media(self, name: str) -> str:
        """Hash one media file; once between two jobs, because pools share their media."""
        if name not in self._media:
            try:
                if name.startswith(self._inside):
                    self._media[name] = self._of_file(name)
                else:
                    self._media[name] = " ".join(map(str, _identity(name)[:3]))
            except _ABSENT:
                self._media[name] = f"{name} missing"
        return self._media[name]


class _Memory:
    """Known hashes, in a file that processes of several hosts append to; one object a process."""

    def __init__(self, path: Path) -> None:
        self.hashes: dict[_Identity, str] = {}
        self._path = path
        self._is_reported = False
        self._follower = FileFollower(path)
        self._lock = threading.Lock()

    def catch_up(self) -> None:
        """Read the hashes that any process has added since the last call."""
        # The run reports a store that is no folder.
        with self._lock, contextlib.suppress(*_ABSENT), self._optional():
            for line in self._follower.read_lines():
                self._read(line)

    def add(self, key: _Identity, sha: str) -> None:
        """Remember one hash."""
        self.hashes[key] = sha
        with self._lock, self._optional():
            append_line(self._path, json.dumps([*key, sha]))

    @contextlib.contextmanager
    def _optional(self) -> Iterator[None]:
        """Go on without the file where it belongs to another user, is no file, or the disk full."""
        try:
            yield
        except OSError as error:
            if not self._is_reported:
                log.warning("content hashes are not remembered: %s", fault_text(error))
            self._is_reported = True

    def _read(self, line: str) -> None:
        """Read one line; one that a kill cut short, or two hosts mixed up, is skipped."""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        match entry:
            case [str(path), int(size), int(mtime), int(inode), str(sha)] if _SHA.fullmatch(sha):
                self.hashes[path, size, mtime, inode] = sha


@functools.cache
def _memory(path: Path) -> _Memory:
    return _Memory(path)


# Text, not Path, from here on: a folder of pictures holds thousands of names, and every run looks
# at all of them.


def _identity(name: str) -> _Identity:
    stat = os.stat(name)  # noqa: PTH116
    text = special_text(name, stat.st_mode)
    if text:
        raise ValueError(text)
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ino


def _files(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the files at any depth, also behind links to folders.

    Left out: links that lead nowhere or back up, and what Python, pip and git write into a code
    base that is only read and installed.
    """
    real = os.path.realpath(folder)
    for entry in os.scandir(folder) if real not in above else ():
        if entry.is_file():
            yield entry.path
        elif entry.is_dir() and not entry.name.endswith((".egg-info", "__pycache__", ".git")):
            yield from _files(entry.path, (*above, real))


def _media(name: str) -> set[str]:
    """Return the media that a data pool names; lists that samples share are read once.

    Lines are searched, not parsed, because every run does so for every pool that it reads.
    """
    path = Path(name)
    lists: set[bytes] = set()
    with contextlib.suppress(SampleError, ModuleNotFoundError):  # reported by the pool's reader
        for text in _media_texts(path):
            lists.update(_MEDIA_LIST.findall(text))
    folder = media_folder(path)
    found: set[str] = set()
    for text in lists:
        try:
            media = json.loads(text)
        except ValueError:  # a bracket in a file's name, or a broken line
            media = [text.decode(errors="replace")]
        names = [each for each in media if isinstance(each, str)]
        found |= {f"{folder}/{each}" if is_relative(each) else each for each in names}
    return found


def _media_texts(path: Path) -> Iterator[bytes]:
    """Yield the text of a pool in whole lines; of Parquet, only the columns of media paths."""
    if format_of(path) == "parquet":
        for batch in parquet_batches(path, 8192, _media_columns):
            yield json.dumps(batch.to_pylist()).encode()
        return
    begun = b""
    for chunk in json_chunks(path):
        lines, end, last = chunk.rpartition(b"\n")
        if not end:
            begun += last
            continue
        yield begun + lines
        begun = last
    yield begun


def _media_columns(schema: Any) -> list[str]:
    import pyarrow as pa

    # Other lists are the pictures themselves, which count with the bytes of the file.
    paths = (pa.list_(pa.string()), pa.large_list(pa.string()))
    return [field.name for field in schema if field.name in MEDIA_KEYS and field.type in paths]
