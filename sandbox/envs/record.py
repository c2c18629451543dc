"""Files that an env keeps about itself: the record, and the locks that list what is installed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.system.files import write_durably
from sandbox.system.user_files import append_line, read_lines

RECORD = "sandbox_env.json"
LOCK = "sandbox_env.lock.txt"
CONDA_LOCK = "sandbox_env.conda.txt"
MADE_FILE = "made_envs"
"""File of the user's own, with the tokens of the envs that this user has made."""

# A login in a URL, and the token that conda's servers expect in its path.
_TOKEN = re.compile(r"(://)[^/@\s]*@|/t/[^/]+(?=/)")


@dataclass(frozen=True)
class EnvRecord:
    """Proof that an env is complete. Written last, and deleted before the env is changed.

    Args:
        path: Folder in which the env was created: a moved or copied env does not work.
        manager: The manager's name.
        asked: Names of the requested and installed items, see :meth:`Dependencies.items`.
        num_packages: Number of packages in the lock.
        token: Random text that the user who made the env has noted.
    """

    path: str
    manager: str
    asked: Sequence[str]
    num_packages: int
    token: str = ""

    @property
    def is_own(self) -> bool:
        """True if this user made the env: otherwise it may have come with a checkout."""
        return bool(self.token) and self.token in read_lines(MADE_FILE).lines


def read(folder: Path) -> EnvRecord | None:
    """Return the record of the env in ``folder``; ``None`` if the env is incomplete or moved."""
    try:
        record = EnvRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    python = folder / "bin" / "python"
    # The interpreter behind the link may have been uninstalled since.
    is_dangling = python.is_symlink() and not python.exists()
    return None if is_dangling or record.path != str(folder) else record


def write(folder: Path, manager: str, asked: Sequence[str]) -> EnvRecord:
    """Write the locks, then the record.

    The lock is a requirements file, so it can be the ``requirements_path`` of an equal env.
    Packages that conda installed have a second one, for ``conda create --file``.
    """
    packages = python_packages(folder)
    _write_lines(folder / LOCK, [f"# Packages of {folder.name}", *packages])
    conda = conda_packages(folder)
    if conda:
        _write_lines(folder / CONDA_LOCK, ["@EXPLICIT", *conda])
    token = secrets.token_hex(8)
    with contextlib.suppress(OSError):  # a home folder may be missing: the env is then foreign
        append_line(MADE_FILE, token)
    record = EnvRecord(str(folder), manager, list(asked), len(packages), token)
    write_durably(folder / RECORD, json.dumps(asdict(record), indent=1))
    return record


def delete(folder: Path) -> None:
    """Delete the record: the env counts as incomplete from now on."""
    (folder / RECORD).unlink(missing_ok=True)


def copy_locks(folder: Path, log_path: Path) -> None:
    """Copy the locks beside a log, so that the env can be rebuilt even after it was deleted."""
    path = log_path.with_suffix(".env.txt")
    if not (folder / LOCK).exists():  # an env that somebody else made
        _write_lines(path, [f"# Packages of {folder}", *python_packages(folder)])
        return
    shutil.copyfile(folder / LOCK, path)
    if (folder / CONDA_LOCK).exists():
        shutil.copyfile(folder / CONDA_LOCK, log_path.with_suffix(".conda.txt"))


def python_packages(folder: Path) -> list[str]:
    """Return the installed Python packages as sorted lines of a requirements file.

    No program is started. Installers are left out, because every new env has its own.
    """
    from importlib.metadata import distributions

    lines = []
    for distribution in distributions(path=[str(path) for path in _site_packages(folder)]):
        name = distribution.metadata["Name"]
        if name not in ("pip", "setuptools", "wheel"):
            origin = distribution.read_text("direct_url.json")
            lines.append(_requirement(name, distribution.version, origin))
    return sorted(lines, key=str.lower)


def conda_packages(folder: Path) -> list[str]:
    """Return the packages that conda installed, as ``conda list --explicit --md5`` prints them."""
    found = []
    for path in sorted((folder / "conda-meta").glob("*.json")):
        package = json.loads(path.read_text(encoding="utf-8"))
        md5 = f"#{package['md5']}" if package.get("md5") else ""
        found.append(_TOKEN.sub(r"\1", package.get("url") or path.stem) + md5)
    return found


def snapshot(folder: Path) -> tuple[tuple[str, int], ...]:
    """Return names and times of the installed files, to detect changes by a failed installer."""
    entries = [entry for path in _site_packages(folder) for entry in os.scandir(path)]
    # __pycache__ changes when a package is merely imported.
    kept = (entry for entry in entries if not entry.name.startswith("_"))
    return tuple(sorted((entry.path, entry.stat().st_mtime_ns) for entry in kept))


def _site_packages(folder: Path) -> list[Path]:
    return sorted(folder.glob("lib/python*/site-packages"))


def _requirement(name: str, version: str, direct_url: str | None) -> str:
    """Return a package's line of a requirements file; its origin, if any, is in PEP 610's form."""
    if not direct_url:
        return f"{name}=={version}"
    origin = json.loads(direct_url)
    url = _TOKEN.sub(r"\1", origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return f"-e {url}"
    vcs = origin.get("vcs_info")
    return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{name} @ {url}"


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
