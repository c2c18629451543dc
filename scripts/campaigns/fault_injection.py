"""Make calls of the operating system fail at chosen paths, inside a forked driver."""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_open = os.open


@dataclass
class Breakage:
    """One way in which calls fail.

    Args:
        calls: Names of the calls: ``open`` (to write), ``read``, ``write``, ``mkdir``, ``symlink``,
            ``rename``, ``fsync``, ``list``.
        at: Regular expression, searched in the path; the campaign's own files never match.
        code: Number of the error.
        times: Calls that fail; ``None``: all.
        skip: Calls that succeed before.
        torn: True if a failing ``write`` first takes half of what it is given.
        marker: File that shows that a call has failed.
    """

    calls: tuple[str, ...]
    at: str
    code: int = errno.ENOSPC
    times: int | None = None
    skip: int = 0
    torn: bool = False
    marker: Path | None = None

    def hits(self, call: str, path: Any) -> bool:
        """Return True if this call shall fail now."""
        is_hit = self._hits(call, path)
        if is_hit and self.marker:
            _open(self.marker, os.O_CREAT)
        return is_hit

    def _hits(self, call: str, path: Any) -> bool:
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if call not in self.calls or "ledger" in name or not re.search(self.at, name):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
            return self.times >= 0
        return True

    def error(self, path: Any = None) -> OSError:
        names = () if path is None else (os.fsdecode(path),)
        return OSError(self.code, os.strerror(self.code), *names)

    def install(self) -> None:
        """Break the calls of this process from now on."""
        self._break_opening()
        self._break_writing()
        moves = {"mkdir": "mkdir", "rename": "rename", "replace": "rename", "scandir": "list"}
        for function, call in {**moves, "symlink": "symlink"}.items():
            self._break(function, call, last=function != "mkdir" and call != "list")

    def _break(self, function: str, call: str, last: bool) -> None:
        original: Callable[..., Any] = getattr(os, function)

        def broken(*given: Any, **more: Any) -> Any:
            path = given[1] if last and len(given) > 1 else (given or (".",))[0]
            if self.hits(call, path):
                raise self.error(path)
            return original(*given, **more)

        setattr(os, function, broken)

    def _break_opening(self) -> None:
        original, low = io.open, os.open

        def broken(file: Any, mode: str = "r", *given: Any, **more: Any) -> Any:
            is_written = bool(set(mode) & set("wax+"))
            if self.hits("open" if is_written else "read", file):
                raise self.error(file)
            opened = original(file, mode, *given, **more)
            if is_written and self.hits("write", file):
                _fill(opened.fileno())
            return opened

        def low_broken(path: Any, flags: int, *given: Any, **more: Any) -> int:
            is_written = bool(flags & (os.O_WRONLY | os.O_RDWR))
            if self.hits("open" if is_written else "read", path):
                raise self.error(path)
            return low(path, flags, *given, **more)

        io.open = builtins.open = broken  # type: ignore[assignment]
        os.open = low_broken

    def _break_writing(self) -> None:
        write, sync = os.write, os.fsync

        def broken_write(descriptor: int, data: Any) -> int:
            if not self.hits("write", _path_of(descriptor)):
                return write(descriptor, data)
            if self.torn and len(data) > 1:
                self.torn = False
                self.skip, self.times = 0, self.times if self.times is None else self.times + 1
                return write(descriptor, data[: len(data) // 2])
            raise self.error()

        def broken_sync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            if self.hits("fsync", _path_of(number)):
                raise self.error()
            sync(descriptor)

        os.write, os.fsync = broken_write, broken_sync


def _fill(descriptor: int) -> None:
    """Send what is written to an open file to a disk that is always full."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)


def _path_of(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return ""
