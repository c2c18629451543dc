"""The user's own settings: files that give permissions, and the folders that the user trusts.

They lie in ``~/.config/sandbox``, outside of every checkout, and count only if nobody else could
have written them. A config can neither write them nor choose where they are read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ALLOW_FILE = "allow_targets"
TRUSTED_FILE = "trusted"
EVERYTHING = "*"
"""The pattern and permission that a trusted folder gives."""


@dataclass(frozen=True)
class UserFile:
    """Lines of one file of settings.

    Args:
        path: The file.
        lines: Its lines without comments; none where it cannot be believed.
        fault: The reason why it is not believed; empty without one.
    """

    path: str
    lines: tuple[str, ...] = ()
    fault: str = ""


def settings_dir() -> Path | None:
    """Return the folder of the user's settings; ``None`` if there is no home folder."""
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # it would lead into the checkout
        with contextlib.suppress(RuntimeError):
            base = Path.home() / ".config"
    return base / "sandbox" if base.is_absolute() else None


def read_settings(name: str) -> UserFile:
    """Read a file of settings; one that others may write gives nothing."""
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
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return UserFile(str(path), tuple(filter(None, lines)))


def _foreign(path: Path) -> str:
    """Return how somebody else could have written a file; empty if nobody could."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by others: chmod go-w {path}"
    return ""


def trusted_folders() -> UserFile:
    """Return the folders that the user trusts; names may hold any sign but a line break."""
    found = read_settings(TRUSTED_FILE)
    if found.fault or not found.lines:
        return found
    lines = Path(found.path).read_text(encoding="utf-8").split("\n")
    return UserFile(found.path, tuple(filter(None, lines)))


def is_trusted(folder: Path) -> bool:
    """Return True if the user trusts exactly this folder: a folder inside it is another one."""
    real = os.path.realpath(folder)
    return real in trusted_folders().lines and not open_to_all(real)


def open_to_all(folder: str) -> bool:
    """Return True for a folder such as /tmp, in which every user may put a config."""
    return bool(Path(folder).stat().st_mode & stat.S_IWOTH)


def write_trusted(folders: Iterable[str]) -> None:
    """Replace the list of trusted folders by a file that nobody else may write.

    Raises:
        OSError: It cannot be written, or there is no home folder.
    """
    parent = settings_dir()
    if parent is None:
        raise FileNotFoundError("there is no home folder: HOME is not set")
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = parent / f".{TRUSTED_FILE}.{uuid.uuid4().hex[:8]}"
    # Not with the umask, under which a group could write it.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{folder}\n" for folder in folders))
    temporary.replace(parent / TRUSTED_FILE)
