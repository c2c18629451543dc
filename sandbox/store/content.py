"""Content hashes of files and folders, remembered by path, size, mtime and inode."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import re
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MEDIA_LIST = re.compile(rb'"(?:images|videos|audios)"\s*:\s*(\[[^\]]*\])')
"""The lists of media files in a Data-Juicer sample; inside a text its quotes would be escaped."""

_POOLS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, ValueError)
_SHA = re.compile("[0-9a-f]{64}")
_Identity = tuple[str, int, int, int]
"""Path, size, mtime and inode."""


def canonical(value: Any) -> str:
    """One text for one JSON value, whatever the order of its keys.

    Raises:
        TypeError: The value is not JSON; such a value has no fingerprint.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()  # names of files


class ContentHashes:
    """Content hashes under one store.

    A data pool (JSON Lines, also compressed, or Parquet) counts with its media: those inside the store by
    content, others by path, size and mtime, because reading a picture collection at every start would cost
    more than the run.

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
        """Hash of what a file, or every file below a folder, holds.

        Raises:
            FileNotFoundError: There is nothing at ``path``.
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
        return self._of_samples(name) if name.endswith(_POOLS) else self._of_file(name)

    def _of_file(self, name: str) -> str:
        key = _identity(name)
        if key not in self._memory.hashes:
            with Path(name).open("rb") as file:
                self._memory.add(key, hashlib.file_digest(file, "sha256").hexdigest())
        return self._memory.hashes[key]

    def _of_samples(self, name: str) -> str:
        key = _identity(name)
        if key not in self._whole:
            media = sorted(_media(name))
            parts = [self._of_file(name), *map(self._of_media, media)]
            self._whole[key] = digest("\n".join(parts)) if media else parts[0]
        return self._whole[key]

    def _of_media(self, name: str) -> str:
        """Looked at once between two jobs: pools share their media."""
        if name not in self._media:
            try:
                inside = name.startswith(self._inside)
                self._media[name] = (
                    self._of_file(name) if inside else " ".join(map(str, _identity(name)[:3]))
                )
            except (
                FileNotFoundError,
                NotADirectoryError,
            ):  # the run says what is wrong with its store
                self._media[name] = f"{name} missing"
        return self._media[name]


class _Memory:
    """What was hashed, in a file that processes of several hosts append to; one object a process."""

    def __init__(self, path: Path) -> None:
        self.hashes: dict[_Identity, str] = {}
        self._path = path
        self._offset = 0
        self._lock = threading.Lock()

    def catch_up(self) -> None:
        """Read what was added since the last look."""
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    lines = file.read().splitlines(keepends=True)
            except (
                FileNotFoundError,
                NotADirectoryError,
            ):  # the run says what is wrong with its store
                return
            for line in lines:
                if line.endswith(b"\n"):
                    self._offset += len(line)
                    self._read(line)

    def add(self, key: _Identity, sha: str) -> None:
        """Remember one hash."""
        self.hashes[key] = sha
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self._path.open("ab") as file:
            file.write(f"{json.dumps([*key, sha])}\n".encode())

    def _read(self, line: bytes) -> None:
        """One line; those that hosts appended at the same time, or a kill cut short, say nothing."""
        try:
            match json.loads(line):
                case [str(path), int(size), int(mtime), int(inode), str(sha)] if _SHA.fullmatch(
                    sha
                ):
                    self.hashes[path, size, mtime, inode] = sha
        except ValueError:
            return


@functools.cache
def _memory(path: Path) -> _Memory:
    return _Memory(path)


# Strings, not Path: a folder of pictures holds thousands of names, and every run looks at all of them.


def _identity(name: str) -> _Identity:
    stat = os.stat(name)  # noqa: PTH116
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ino


def _files(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Files at any depth, those behind links to folders too; links that lead nowhere or back up are not.

    Nor is what Python, pip and git write into a code base that is only read and installed.
    """
    real = os.path.realpath(folder)
    for entry in os.scandir(folder) if real not in above else ():
        if entry.is_dir() and (
            entry.name in ("__pycache__", ".git") or entry.name.endswith(".egg-info")
        ):
            continue
        if entry.is_dir():
            yield from _files(entry.path, (*above, real))
        elif entry.is_file():
            yield entry.path


def _media(name: str) -> set[str]:
    """Paths of the media that a data pool names; samples that share them are read once."""
    lists: set[bytes] = set()
    with contextlib.suppress(ImportError, *_DAMAGED):  # whoever reads the pool reports it
        for line in _parquet_media(name) if name.endswith(".parquet") else _lines(name):
            lists.update(_MEDIA_LIST.findall(line))
    parent = f"{Path(name).parent}/"
    found: set[str] = set()
    for text in lists:
        try:
            media = json.loads(text)
        except (
            ValueError
        ):  # a bracket in a file name, or a broken line, which whoever reads it reports
            media = [text.decode(errors="replace")]
        found.update(m if m.startswith("/") else parent + m for m in media if isinstance(m, str))
    return found


def _lines(name: str) -> Iterator[bytes]:
    with Path(name).open("rb") as file:
        if name.endswith(".gz"):
            yield from gzip.GzipFile(fileobj=file)
        elif name.endswith(".zst"):
            import zstandard

            reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            with contextlib.suppress(zstandard.ZstdError):
                yield from io.BufferedReader(reader)
        else:
            yield from file


def _parquet_media(name: str) -> Iterator[bytes]:
    """The lists of media in a Parquet file, spelled as in JSON Lines; other columns are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(name) as file:
        paths = (
            pa.list_(pa.string()),
            pa.large_list(pa.string()),
        )  # pictures themselves are content already
        schema = file.schema_arrow
        columns = [key for key in ("images", "videos", "audios") if key in schema.names]
        columns = [key for key in columns if schema.field(key).type in paths]
        for batch in file.iter_batches(columns=columns) if columns else ():
            yield from (json.dumps(sample).encode() for sample in batch.to_pylist())
