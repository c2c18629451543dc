"""Pools on disk: raw lines in, raw lines out. A sample is never parsed only to be written again."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_RELATIVE_MEDIA = re.compile(
    rb'"(?:images|audios|videos)"\s*:\s*\[\s*"(?!/|[A-Za-z][A-Za-z0-9+.-]*://)[^"\n]*'
)


def read_lines(path: Path) -> list[bytes]:
    """The samples of a pool as raw lines, without their line ends; blank lines are left out.

    A line is only looked at from outside (it begins and ends like a JSON object): parsing is up to
    those who need what is inside, see :func:`parse`.

    Raises:
        FileNotFoundError: The pool is missing.
        ValueError: It has no sample, a line is no JSON object, or a media path is relative: a line
            that moves to another folder would lose its files.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no data pool {path}")
    data = path.read_bytes()
    relative = _RELATIVE_MEDIA.search(data)
    if relative:
        number = data.count(b"\n", 0, relative.start()) + 1
        found = relative.group().decode(errors="replace")
        raise ValueError(f"{path}:{number}: media paths of a pool must be absolute, got {found}")
    lines = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        stripped = line.strip()
        if not stripped:
            continue
        if not (stripped.startswith(b"{") and stripped.endswith(b"}")):
            shown = stripped[:60].decode(errors="replace")
            raise ValueError(f"{path}:{number}: expected a JSON object on every line, got {shown}")
        lines.append(stripped)
    if not lines:
        raise ValueError(f"{path}: the data pool is empty")
    return lines


def parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The sample of a line.

    Raises:
        ValueError: The line is not a JSON object in UTF-8.
    """
    try:
        sample = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path}: sample {number}: not valid JSON: {error}") from error
    if not isinstance(sample, dict):
        raise ValueError(f"{path}: sample {number}: expected a JSON object, got {line[:60]!r}")
    return sample


def write_lines(path: Path, lines: Iterable[bytes]) -> Path:
    """Write a pool under a temporary name, then give it its own, so that a pool is whole or not there."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def base_names(paths: Sequence[Path]) -> list[str]:
    """One name per pool, its file's without the extension; a name that occurs again has a suffix.

    Only ``.jsonl`` and ``.json`` are taken off: ``my.data.v1`` keeps its name.
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        base = path.name.removesuffix(".json").removesuffix(".jsonl")
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}__{count}"
        taken.add(name)
        names.append(name)
    return names


def draw(num_items: int, num_drawn: int, seed: int) -> list[int]:
    """Positions of a random sample without replacement, in ascending order.

    It takes the items with the smallest keys from ``random.Random(seed).random()``: the one generator
    that Python promises to keep across versions. A smaller draw is part of a larger one.
    """
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(num_items)]
    return sorted(sorted(range(num_items), key=keys.__getitem__)[:num_drawn])


def check_paths(dataset_paths: Sequence[Path], least: int = 1) -> None:
    """Refuse a single path where a list is meant, and a list that is too short.

    Raises:
        ValueError: The argument is not a list of at least ``least`` paths.
    """
    if isinstance(dataset_paths, str | Path) or not isinstance(dataset_paths, Sequence):
        raise ValueError(f"dataset_paths: expected a list of paths, got {dataset_paths!r}")
    if len(dataset_paths) < least:
        raise ValueError(f"dataset_paths: expected at least {least} pools, got {len(dataset_paths)}")
