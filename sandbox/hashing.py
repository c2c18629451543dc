"""Content hashes of files and folders, remembered by path, size, mtime and inode."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MEDIA_LIST = re.compile(rb'"(?:images|videos|audios)"\s*:\s*(\[[^\]]*\])')
"""The lists of media files in a Data-Juicer sample; inside a text its quotes would be escaped."""


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

    A JSON Lines file counts with its media: those inside the store by content, others by path, size
    and mtime, because reading a picture collection at every start would cost more than the run.

    Args:
        store_dir: Root of the job store; ``hashes.jsonl`` in it remembers what was hashed.
    """

    def __init__(self, store_dir: Path) -> None:
        self._store_dir = store_dir.absolute()
        self._inside = (f"{self._store_dir}{os.sep}", f"{self._store_dir.resolve()}{os.sep}")
        self._memory_path = self._store_dir / "hashes.jsonl"
        self._memory: dict[tuple[str, int, int, int], str] = {}
        self._whole: dict[tuple[str, int, int, int], str] = {}
        self._media: dict[str, str] = {}
        self._lock = threading.Lock()
        if self._memory_path.exists():
            for line in self._memory_path.read_text().splitlines():
                try:
                    path, size, mtime, inode, sha = json.loads(line)
                except ValueError:  # a line cut short by a killed process
                    continue
                self._memory[path, size, mtime, inode] = sha

    def of(self, path: Path) -> str:
        """Hash of what a file, or every file below a folder, holds.

        Raises:
            FileNotFoundError: There is nothing at ``path``.
        """
        path = path.absolute()
        if path.is_dir():
            lines = [f"{name.relative_to(path)}\n{self.of(name)}" for name in sorted(_files(path))]
            return digest("\n".join(lines))
        if path.suffix == ".jsonl":
            return self._of_samples(path)
        return self._of_file(path)

    def look_again(self) -> None:
        """A job has run: media that this run has looked at may be others now."""
        self._whole.clear()
        self._media.clear()

    def _of_file(self, path: Path) -> str:
        key = _identity(path)
        if key not in self._memory:
            with path.open("rb") as file:
                self._memory[key] = hashlib.file_digest(file, "sha256").hexdigest()
            self._remember(key)
        return self._memory[key]

    def _of_samples(self, path: Path) -> str:
        key = _identity(path)
        if key not in self._whole:
            media = sorted(_media(path))
            parts = [self._of_file(path), *map(self._of_media, media)]
            self._whole[key] = digest("\n".join(parts)) if media else parts[0]
        return self._whole[key]

    def _of_media(self, name: str) -> str:
        """Looked at once between two jobs: pools share their media."""
        if name not in self._media:
            path = Path(name)
            if not path.exists():
                self._media[name] = f"{name} missing"
            elif name.startswith(self._inside):
                self._media[name] = self._of_file(path)
            else:
                self._media[name] = " ".join(map(str, _identity(path)[:3]))
        return self._media[name]

    def _remember(self, key: tuple[str, int, int, int]) -> None:
        self._store_dir.mkdir(parents=True, exist_ok=True)
        line = json.dumps([*key, self._memory[key]]) + "\n"
        with self._lock, self._memory_path.open("ab") as file:
            file.write(line.encode())


def _identity(path: Path) -> tuple[str, int, int, int]:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Files at any depth, those behind links to folders too; links that lead nowhere or back up are not."""
    real = folder.resolve()
    for entry in os.scandir(folder) if real not in above else ():
        if entry.is_dir():
            yield from _files(Path(entry.path), (*above, real))
        elif entry.is_file():
            yield Path(entry.path)


def _media(path: Path) -> set[str]:
    """Paths of the media that a JSON Lines file names; samples that share them are read once."""
    lists: set[bytes] = set()
    with path.open("rb") as file:
        for line in file:
            lists.update(_MEDIA_LIST.findall(line))
    found: set[str] = set()
    for text in lists:
        try:
            names = json.loads(text)
        except ValueError:  # a bracket in a file name, or a broken line, which whoever reads it reports
            names = [text.decode(errors="replace")]
        found.update(str(path.parent / name) for name in names if isinstance(name, str))
    return found
