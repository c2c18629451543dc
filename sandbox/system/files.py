"""Files that are either complete or absent, even after a crash of the machine."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any


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


def obstacle(folder: Path) -> str:
    """Return why a folder cannot be made and written; empty text if it can."""
    existing = nearest(folder)
    if not existing.is_dir():
        return f"{existing} is a file, expected a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written"
    return ""


def nearest(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists."""
    absolute = path.absolute()
    return next(above for above in (absolute, *absolute.parents) if above.exists())
