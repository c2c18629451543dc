"""Names and formats of pools on disk."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


def format_of(path: Path) -> str:
    """One of :data:`FORMATS`, by a file's name; whatever has no known extension is JSON Lines."""
    endings = {".gz": "jsonl.gz", ".zst": "jsonl.zst", ".parquet": "parquet"}
    return endings.get(path.suffix.lower(), "jsonl")


def check_format(output_format: str | None) -> None:
    """Refuse an output format that is not one of :data:`FORMATS`; ``None`` follows the input.

    Raises:
        ValueError: There is no such format.
    """
    if output_format is not None and output_format not in FORMATS:
        raise ValueError(
            f"output_format: expected one of {', '.join(FORMATS)}, got {output_format!r}"
        )


def check_paths(
    dataset_paths: Sequence[Path], least: int = 1, argument: str = "dataset_paths"
) -> Sequence[Path]:
    """Refuse a single path where a list is meant, and a list that is too short.

    Raises:
        ValueError: The argument is not a list of at least ``least`` paths.
    """
    if isinstance(dataset_paths, str | Path) or not isinstance(dataset_paths, Sequence):
        raise ValueError(f"{argument}: expected a list of paths, got {dataset_paths!r}")
    if len(dataset_paths) < least:
        raise ValueError(f"{argument}: expected at least {least} pools, got {len(dataset_paths)}")
    return dataset_paths


def check_whole(argument: str, value: object, least: int | None = None) -> None:
    """Refuse what is not a whole number, or less than ``least``.

    Raises:
        ValueError: The argument is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{argument}: expected a whole number, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{argument}: expected at least {least}, got {value}")


def check_exists(path: Path) -> None:
    """Refuse a pool that is not there, or is no file.

    Raises:
        FileNotFoundError: The pool is missing.
        ValueError: It is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path}: expected a data pool, one file; got a folder")
    if not path.is_file():
        raise FileNotFoundError(f"there is no data pool {path}")


def base_name(path: Path) -> str:
    """A pool's name without its extensions. Only those of pools go: ``my.data.v1`` keeps its name."""
    name = path.name
    for ending in (".gz", ".zst", ".jsonl", ".json", ".parquet"):
        name = name.removesuffix(ending)
    return name


def base_names(paths: Sequence[Path]) -> list[str]:
    """One name per pool; a name that occurs again has a suffix, ``__2``, ``__3``, …"""
    names: list[str] = []
    for path in paths:
        base = name = base_name(path)
        for count in itertools.count(2):
            if name not in names:
                break
            name = f"{base}__{count}"
        names.append(name)
    return names


def common_words(names: Sequence[str]) -> str:
    """The leading words, between underscores, that all names share; may be empty."""
    words = zip(*(name.split("_") for name in names), strict=False)
    return "_".join(
        word for word, *others in itertools.takewhile(lambda each: len(set(each)) == 1, words)
    )
