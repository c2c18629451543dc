"""Files that are either complete or absent, even after a crash of the machine."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

_SHOWN = 200  # characters of a path whose name may be too long


def write_durably(path: Path, text: str) -> None:
    """Write a file so that it is either complete or absent, even after a crash of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


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
