"""Names of new pools, after those of the pools that they are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from sandbox.samples import base_name


def base_names(paths: Sequence[Path]) -> list[str]:
    """Return one name per pool; a name that occurs again gets a suffix, ``__2``, ``__3``, …"""
    names: list[str] = []
    for path in paths:
        base = name = base_name(path)
        count = 2
        while name in names:
            name = f"{base}__{count}"
            count += 1
        names.append(name)
    return names


def common_words(paths: Sequence[Path]) -> str:
    """Return the leading words, between underscores, that all names share; may be empty."""
    words = zip(*(name.split("_") for name in base_names(paths)), strict=False)
    shared = itertools.takewhile(lambda each: len(set(each)) == 1, words)
    return "_".join(word for word, *_ in shared)
