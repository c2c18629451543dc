"""Results of operators, kept between runs: Data-Juicer's own cache, one folder for each data set.

Data-Juicer stores the result of every operator under a fingerprint of the data set, the operators
before it and its arguments. Here that cache outlives the run: if a recipe begins like an earlier
one, on the same samples, only the operators after the common part run again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LOCK = "in_use"
_INPUT = "input.jsonl"
_GB = 1e9


def limit_gb() -> float:
    """Return the largest size of the cache between runs, in GB; 0 turns it off."""
    return float(os.environ.get("SANDBOX_OPERATOR_CACHE_GB", "10"))


@contextlib.contextmanager
def shared(request: dict[str, Any], prepared: Path, content: str) -> Iterator[Path]:
    """Yield the prepared data set in a folder beside the cache of the operators that ran on it.

    Two runs may use a folder at the same time, because files get their names when they are
    complete. A lock of the kernel, which ends with its owner, protects a folder in use. Afterwards
    the least recently used folders are removed until the cache is below its limit.

    Args:
        request: The worker's request; without ``shared_dir`` everything stays in ``work_dir``.
        prepared: The data set as Data-Juicer reads it; it is copied into the folder.
        content: Hash of the data set with its media.
    """
    root = Path(request["shared_dir"]) if request.get("shared_dir") else None
    if root is None or limit_gb() <= 0:
        yield prepared
        return
    folder = root / _key(content, request["recipe"])
    handle = _enter(folder, prepared)
    try:
        yield folder / _INPUT
    finally:
        os.close(handle)
        _prune(root)


def _key(content: str, recipe: dict[str, Any]) -> str:
    """Hash everything that Data-Juicer's own fingerprints leave out: contents, versions, files."""
    packages = [f"{name} {version(name)}" for name in ("py-data-juicer", "datasets", "pyarrow")]
    files = sorted(set(_files(recipe)))
    return hashlib.sha256(json.dumps([content, packages, files]).encode()).hexdigest()[:24]


def _files(value: Any) -> Iterator[tuple[str, int, int]]:
    """Yield path, size and mtime of every existing file that a recipe names."""
    if isinstance(value, dict):
        for child in value.values():
            yield from _files(child)
    elif isinstance(value, list):
        for child in value:
            yield from _files(child)
    elif isinstance(value, str) and os.sep in value and Path(value).exists():
        paths = [Path(value), *(Path(value).rglob("*") if Path(value).is_dir() else ())]
        for path in paths:
            yield str(path), path.stat().st_size, path.stat().st_mtime_ns


def _enter(folder: Path, prepared: Path) -> int:
    """Lock the folder, with the data set in it; another run may remove it until it is locked."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            # Exclusive while the data set is copied, shared while operators run on it.
            fcntl.flock(handle, fcntl.LOCK_EX)
            if prepared.exists() and not (folder / _INPUT).exists():
                partial = folder / f"{_INPUT}.part"
                shutil.copyfile(prepared, partial)
                partial.replace(folder / _INPUT)
            fcntl.flock(handle, fcntl.LOCK_SH)
            if _is_there(folder, handle):
                os.utime(folder / _LOCK)
                return handle
            os.close(handle)


def _is_there(folder: Path, handle: int) -> bool:
    try:
        same = (folder / _LOCK).stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
    return same and (folder / _INPUT).exists()


def _prune(root: Path) -> None:
    """Remove the least recently used folders until all of them are within the limit."""
    sizes = {folder: _size(folder) for folder in root.iterdir() if folder.is_dir()}
    total = sum(sizes.values())
    for folder in sorted(sizes, key=_last_use):
        if total <= limit_gb() * _GB:
            break
        with contextlib.suppress(OSError):
            handle = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                total -= sizes[folder]
            finally:
                os.close(handle)
    print(f"operator cache: {total / _GB:.3f} GB of at most {limit_gb():g} in {root}", flush=True)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _last_use(folder: Path) -> float:
    try:
        return (folder / _LOCK).stat().st_mtime
    except FileNotFoundError:
        return 0.0
