"""Folders that the user trusts as a whole, and the user's allow file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sandbox.system.user_files import UserFile, read_lines

EVERYTHING = "*"
"""The pattern and permission that a trusted folder gives."""

ALLOW_FILE = "allow_targets"
TRUSTED_FILE = "trusted"


def allow_lines() -> list[str]:
    """Return the patterns and permissions in the user's allow file, without comments."""
    texts = (line.partition("#")[0].strip() for line in read_lines(ALLOW_FILE).lines)
    return [text for text in texts if text]


def trusted_folders() -> UserFile:
    """Return the file whose lines are the trusted folders."""
    return read_lines(TRUSTED_FILE)


def is_trusted(folder: Path) -> bool:
    """Return True if the user trusts exactly this folder: a folder inside it is another one."""
    real = os.path.realpath(folder)
    return real in trusted_folders().lines and not open_to_all(real)


def open_to_all(folder: str) -> bool:
    """Return True for a folder such as /tmp, in which every user may put a config."""
    return bool(Path(folder).stat().st_mode & stat.S_IWOTH)


def unbelieved_files() -> Iterator[UserFile]:
    """Yield files of the user's that give nothing, because others may have written them."""
    for name in (ALLOW_FILE, TRUSTED_FILE):
        found = read_lines(name)
        if found.fault:
            yield found
