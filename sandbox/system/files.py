"""Files that are either complete or absent, even after a crash of the machine; faults of disks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FAULTS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SHOWN = 200  # characters of a path whose name may be too long


def write_durably(path: Path, text: str) -> None:
    """Write a file so that it is either complete or absent, even after a crash of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno:  # nobody knows the temporary file
            error.filename, error.filename2 = str(path), None
        raise


def sync_directory(path: Path) -> None:
    """Make renames in a folder survive a crash of the machine."""
    directory = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(directory)
    finally:
        os.close(directory)


def open_to_append(path: Path) -> int:
    """Open a file of lines for unbuffered appending, made with its folder where it is missing.

    A full disk or a kill may have left an incomplete line, to which the next one must not be added:
    such a line is ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        status = os.fstat(file)
        kind, size = special_kind(status.st_mode), status.st_size
        if kind:
            raise OSError(errno.EINVAL, f"is {kind}, expected a regular file", str(path))
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")
    except BaseException:
        os.close(file)
        raise
    return file


def write_all(descriptor: int, piece: bytes | memoryview) -> None:
    """Write all of ``piece``, or raise: a disk that fills up takes a part without an error."""
    while len(piece):
        piece = piece[os.write(descriptor, piece) :]


def append_line(path: Path, line: str) -> None:
    """Append one line to a file, which is opened for it alone; raises if it is not there whole."""
    with named(path):
        file = open_to_append(path)
        try:
            write_all(file, f"{line}\n".encode())
        finally:
            os.close(file)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors of the block; those of writing and syncing name none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def fault_text(error: OSError) -> str:
    """Return an error of the operating system as ``<path>: <reason>``."""
    if error.strerror is None or error.filename is None:
        return str(error) or type(error).__name__
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return f"{' -> '.join(paths)}: {error.strerror}"


def is_fault(error: BaseException | None) -> bool:
    """Return True for a fault of the machine, such as a full disk, that no command line mends."""
    return isinstance(error, OSError) and error.errno in _FAULTS


def special_kind(mode: int) -> str:
    """Return the kind of a file that must not be read as data, such as "a FIFO"; else no text.

    Reading it could wait or go on for ever.

    Args:
        mode: ``st_mode`` of the file.
    """
    return _SPECIAL.get(stat.S_IFMT(mode), "")


def special_text(path: Path | str, mode: int) -> str:
    """Return why a path leads to nothing that can be read as data; empty text if it does."""
    kind = special_kind(mode)
    return f"{path} is {kind}, expected a regular file or a folder" if kind else ""


def require_regular(path: Path) -> None:
    """Require that a path leads to a regular file or a folder, if to anything.

    Raises:
        ValueError: It leads to a FIFO, a socket or a device.
    """
    try:
        text = special_text(path, path.stat().st_mode)
    except OSError:  # reported by whoever opens it
        return
    if text:
        raise ValueError(text)


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
