"""Trust the configs of a folder, as if you had written them.

    sandbox trust              the working directory
    sandbox trust FOLDER       another folder
    sandbox trust --remove     … no longer
    sandbox trust --list       all trusted folders

Runs that start in exactly this folder have every permission. Its real path is kept in
~/.config/sandbox/trusted until you remove it, so trust covers what `git pull` brings later, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sandbox.components.trusted import TRUSTED_FILE, open_to_all, trusted_folders
from sandbox.system.user_files import write_lines


def main(words: Sequence[str]) -> int:
    """Change or print the list of trusted folders; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="sandbox trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", default=".", help="the working directory by default")
    parser.add_argument("--remove", action="store_true", help="trust the folder no longer")
    parser.add_argument("--list", action="store_true", help="print all trusted folders")
    options = parser.parse_args(words)
    found = trusted_folders()
    if found.fault:
        return _refused(found.fault)
    if options.list:
        print("\n".join(found.lines) or "no folder is trusted")
        return 0
    folder = os.path.realpath(options.folder)
    if options.remove:
        return _remove(folder, found.lines)
    return _add(folder, found.lines)


def _add(folder: str, before: Sequence[str]) -> int:
    if not Path(folder).is_dir():
        return _refused(f"{folder} is not a folder")
    if open_to_all(folder):
        return _refused(f"{folder} can be written by every user")
    if not folder.isprintable():
        return _refused(f"{folder!r} holds signs that cannot be printed")
    if code := _write(dict.fromkeys([*before, folder])):
        return code
    print(f"trusted: {folder}\nits configs may now run any code; sandbox trust --remove ends that")
    return 0


def _remove(folder: str, before: Sequence[str]) -> int:
    if folder not in before:
        return _refused(f"{folder} is not trusted; sandbox trust --list prints those that are")
    if code := _write([each for each in before if each != folder]):
        return code
    print(f"no longer trusted: {folder}")
    return 0


def _write(folders: Iterable[str]) -> int:
    try:
        write_lines(TRUSTED_FILE, folders)
    except OSError as error:
        return _refused(str(error))
    return 0


def _refused(text: str) -> int:
    print(f"sandbox trust: {text}", file=sys.stderr)
    return 2
