"""Files that are either complete or absent, even after a crash of the machine."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

_OLD_S = 3600
_LOCKING_S = 1  # far longer than a writer needs from making its file to locking it
_SHOWN = 200  # characters of a path whose name may be too long


def write_durably(path: Path, text: str) -> None:
    """Write a file so that it is either complete or absent, even after a crash of the machine.

    What killed processes have left of such writes to the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_litter(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            with contextlib.suppress(OSError):  # no locks here
                fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: its writer is alive
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def is_old(path: Path) -> bool:
    """Return True for a temporary file or folder so old that nobody can still be making it."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > _OLD_S
    return False


def _remove_litter(path: Path) -> None:
    """Remove temporary files beside ``path`` whose writers were killed, or that are old."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        with contextlib.suppress(OSError):
            if _is_abandoned(left) or is_old(left):
                left.unlink()


def _is_abandoned(temporary: Path) -> bool:
    """Return True if its writer does not hold its lock any more, and has had time to take it."""
    with temporary.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return time.time() - os.fstat(file.fileno()).st_mtime > _LOCKING_S


def sync_directory(path: Path) -> None:
    """Make renames in a folder survive a crash of the machine."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a small file; ``None`` where it is absent or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # on NFS also one that is being replaced now
        return None
    return data if isinstance(data, dict) else None


def obstacle(folder: Path, *, to_write: bool = True) -> str:
    """Return why a folder cannot be used; empty text if it can, also where it must be made first.

    Args:
        folder: The folder.
        to_write: False if it is only read.
    """
    try:
        existing = nearest(folder)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return f"{str(folder)[:_SHOWN]}: {error.strerror}"
    if not existing.is_dir():
        return f"{existing} is a file, expected a folder"
    if to_write and not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written"
    return ""


def absence(path: Path) -> str:
    """Return why there is nothing at a path; empty text if there is something."""
    try:
        return "" if path.exists() else f"{path} does not exist"
    except OSError as error:
        return f"{str(path)[:_SHOWN]}: {error.strerror}"


def nearest(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists."""
    absolute = path.absolute()
    return next(above for above in (absolute, *absolute.parents) if above.exists())
