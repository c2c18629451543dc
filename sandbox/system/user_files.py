"""Small files of the user's own, in ``~/.config/sandbox``, outside of every checkout.

They count only if nobody else could have written them. A config can neither write them nor choose
where they are read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UserFile:
    """Lines of one file.

    Args:
        path: The file.
        lines: Its lines, without empty ones; none where it cannot be believed.
        fault: The reason why it is not believed; empty without one.
    """

    path: str
    lines: tuple[str, ...] = ()
    fault: str = ""


def settings_dir() -> Path | None:
    """Return the folder of the files; ``None`` if there is no home folder."""
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # it would lead into the checkout
        with contextlib.suppress(RuntimeError):
            base = Path.home() / ".config"
    return base / "sandbox" if base.is_absolute() else None


def read_lines(name: str) -> UserFile:
    """Read a file; one that others may write has no lines."""
    folder = settings_dir()
    path = folder / name if folder else None
    if path is None or not path.exists():
        return UserFile(str(path or name))
    fault = _foreign(path.parent) or _foreign(path)
    if fault:
        return UserFile(str(path), fault=fault)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return UserFile(str(path), fault=f"cannot be read: {error}")
    return UserFile(str(path), tuple(line for line in text.split("\n") if line.strip()))


def _foreign(path: Path) -> str:
    """Return how somebody else could have written a file; empty if nobody could."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return f"{path} is no file"  # reading a pipe would never end
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by others: chmod go-w {path}"
    return ""


def write_lines(name: str, lines: Iterable[str]) -> None:
    """Replace a file by one that only this user can read and write.

    Raises:
        OSError: It cannot be written, or there is no home folder.
    """
    parent = _made_dir()
    temporary = parent / f".{name}.{uuid.uuid4().hex[:8]}"
    # Not with the umask, under which a group could write it.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    temporary.replace(parent / name)


def append_line(name: str, line: str) -> None:
    """Add a line to a file; several processes may do so at once.

    Raises:
        OSError: It cannot be written, or there is no home folder.
    """
    descriptor = os.open(_made_dir() / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _made_dir() -> Path:
    folder = settings_dir()
    if folder is None:
        raise FileNotFoundError("there is no home folder: HOME is not set")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
