"""What an env is known by: the record of what was asked for, the lock of what was installed, and a claim."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path

log = getLogger(__name__)

RECORD = "sandbox_env.json"
LOCK = "sandbox_env.lock.txt"
CONDA_LOCK = "sandbox_env.conda.txt"
_TOKEN = re.compile(r"(://)[^/@\s]*@|/t/[^/]+(?=/)")


@dataclass(frozen=True)
class EnvRecord:
    """What an env vouches for; its file is written last, and taken away while the env is changed.

    Args:
        path: Folder that the env was made in: one that was moved or copied does not work.
        manager: The manager's name.
        asked: What was asked for and is installed.
        num_packages: Number of packages in the lock beside it.
    """

    path: str
    manager: str
    asked: Sequence[str]
    num_packages: int


def read(folder: Path) -> EnvRecord | None:
    """The record of the env in a folder; ``None`` where there is none that is this folder's own."""
    try:
        record = EnvRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    python = folder / "bin" / "python"
    works = (
        python.exists() or not python.is_symlink()
    )  # its interpreter may have been removed since
    return record if record.path == str(folder) and works else None


def write(folder: Path, manager: str, asked: Sequence[str]) -> EnvRecord:
    """Write the lock, then the record.

    The lock is a requirements file: ``requirements_path`` of an env that is to be the same. Of packages
    that conda installed there is a second one, for ``conda create --file``.
    """
    packages = python_packages(folder)
    _write_lines(folder / LOCK, [f"# What is installed in {folder.name}", *packages])
    conda = conda_packages(folder)
    if conda:
        _write_lines(folder / CONDA_LOCK, ["@EXPLICIT", *conda])
    record = EnvRecord(str(folder), manager, list(asked), len(packages))
    temporary = folder / f".{RECORD}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
    temporary.replace(folder / RECORD)
    return record


def note(folder: Path, log_path: Path) -> None:
    """Leave the lock beside a log, so that whoever reads it can make the env again; it may be gone then."""
    if not (folder / LOCK).exists():  # an env made elsewhere
        _write_lines(
            log_path.with_suffix(".env.txt"), [f"# What {folder} held", *python_packages(folder)]
        )
        return
    for name, suffix in ((LOCK, ".env.txt"), (CONDA_LOCK, ".conda.txt")):
        if (folder / name).exists():
            shutil.copyfile(folder / name, log_path.with_suffix(suffix))


def forget(folder: Path) -> None:
    """Take the record away: from now on the env is not whole."""
    (folder / RECORD).unlink(missing_ok=True)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def python_packages(folder: Path) -> list[str]:
    """The installed Python packages as lines of a requirements file, sorted; no program is started.

    Installers are left out: who makes the env anew has them.
    """
    from importlib.metadata import distributions

    lines = []
    for distribution in distributions(path=[str(path) for path in _site_packages(folder)]):
        name = distribution.metadata["Name"]
        if name not in ("pip", "setuptools", "wheel"):
            lines.append(
                _line(name, distribution.version, distribution.read_text("direct_url.json"))
            )
    return sorted(lines, key=str.lower)


def conda_packages(folder: Path) -> list[str]:
    """The packages that conda installed, as ``conda list --explicit --md5`` prints them."""
    found = []
    for path in sorted((folder / "conda-meta").glob("*.json")):
        package = json.loads(path.read_text(encoding="utf-8"))
        md5 = f"#{package['md5']}" if package.get("md5") else ""
        found.append(_TOKEN.sub(r"\1", package.get("url") or path.stem) + md5)
    return found


def snapshot(folder: Path) -> tuple[tuple[str, int], ...]:
    """Names and times of what is installed: whether an installer that failed had begun to change it."""
    entries = [entry for path in _site_packages(folder) for entry in os.scandir(path)]
    return tuple(
        sorted((entry.path, entry.stat().st_mtime_ns) for entry in entries if entry.name[0] != "_")
    )


def _site_packages(folder: Path) -> list[Path]:
    return sorted(folder.glob("lib/python*/site-packages"))


def _line(name: str, version: str, direct_url: str | None) -> str:
    """PEP 610: a package that was not taken from an index knows where it came from, without passwords."""
    if not direct_url:
        return f"{name}=={version}"
    origin = json.loads(direct_url)
    url = _TOKEN.sub(r"\1", origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return f"-e {url}"
    vcs = origin.get("vcs_info")
    return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{name} @ {url}"


@contextlib.asynccontextmanager
async def claimed(folder: Path) -> AsyncIterator[None]:
    """Hold an env, so that nobody else makes or changes it at the same time; waits for who holds it.

    A lock of the kernel on a file beside the folder: it goes with its owner, however that ends.
    Programs that the owner starts inherit it, so that an installer which outlives a killed owner still
    holds the env. Holds between processes of one host, and of several where their file system locks.
    """
    path = folder.with_name(f"{folder.name}.claim")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while not _lock(handle):
            if not told:
                owner = os.pread(handle, 32, 0).decode().strip() or "?"
                log.info("env %s: process %s is making it; waiting to use it", folder.name, owner)
                told = True
            await asyncio.sleep(0.1)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        os.set_inheritable(handle, True)
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)  # also for what inherited it
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
