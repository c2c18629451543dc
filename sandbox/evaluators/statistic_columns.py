"""Numbers about every sample of a pool, column by column: its statistics and text lengths."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.pool_texts import clean
from sandbox.evaluators.words import count_words
from sandbox.samples import STATS, SampleError, read_samples, shown, text_of

Floats = NDArray[np.float64]

_LENGTHS = ("chars", "words")


@dataclass(frozen=True)
class Columns:
    """Numbers about the samples of some pools.

    Args:
        num_samples: Number of samples.
        values: One number per sample by statistic, NaN for a missing one.
        left_out: Statistics that are not numeric.
    """

    num_samples: int
    values: dict[str, Floats]
    left_out: list[str]

    def finite(self, name: str) -> Floats:
        """Return the values of a statistic that are neither missing nor infinite."""
        values = self.values[name]
        return values[np.isfinite(values)]


def read_columns(
    paths: Sequence[Path], statistics: Sequence[str] | None, text_key: str | None
) -> Columns:
    """Read the numeric statistics of samples, and ``chars`` and ``words`` of their texts.

    A list of numbers counts as its mean. ``null`` and NaN are missing.

    Args:
        paths: Pools that are one data set.
        statistics: Names of the statistics to read; ``None`` reads all numeric ones.
        text_key: Key of a sample's text; ``None`` leaves the lengths out.

    Raises:
        ValueError: One of ``statistics`` does not exist or is not numeric, or there are no numbers.
    """
    table = _Table(statistics)
    for stats in _sample_stats(paths, text_key):
        table.add(stats)
    place = ", ".join(map(str, paths))
    numeric = table.seen - table.non_numeric
    for name in statistics or ():
        if name not in numeric:
            problem = "is not numeric" if name in table.non_numeric else "does not exist"
            available = ", ".join(sorted(numeric)) or "none"
            raise ValueError(f"{place}: statistic {name!r} {problem}; available: {available}")
    values = table.columns()
    if not values:
        raise ValueError(
            f"{place}: no numeric statistics under {STATS!r}; analyse the data set first"
        )
    return Columns(table.num_samples, values, sorted(table.non_numeric))


class _Table:
    """Columns that grow sample by sample, 8 bytes per number."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self.num_samples = 0
        self.seen: set[str] = set()
        self.non_numeric: set[str] = set()
        self._names = None if names is None else {*names, *_LENGTHS}
        self._columns: dict[str, array[float]] = {}

    def add(self, stats: Mapping[str, Any]) -> None:
        """Append the statistics of the next sample."""
        self.seen.update(stats)
        for name, value in stats.items():
            if self._names is not None and name not in self._names:
                continue
            number = _number(value)
            if number is None:
                self.non_numeric.add(name)
            else:
                self._padded(name).append(number)
        self.num_samples += 1

    def columns(self) -> dict[str, Floats]:
        """Return the columns of numeric statistics that have a value."""
        names = [name for name in self._columns if name not in self.non_numeric]
        # Views, not copies: the columns are the largest part of the memory.
        views = {name: np.frombuffer(self._padded(name), dtype=np.float64) for name in names}
        return {name: values for name, values in views.items() if not np.isnan(values).all()}

    def _padded(self, name: str) -> array[float]:
        """Return a column, filled up with missing values for samples that had none."""
        column = self._columns.setdefault(name, array("d"))
        column.extend([math.nan] * (self.num_samples - len(column)))
        return column


def _sample_stats(paths: Sequence[Path], text_key: str | None) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        for number, sample in read_samples(path):
            stats = sample.get(STATS) or {}
            if not isinstance(stats, dict):
                reason = f"expected a mapping under {STATS!r}, got {shown(stats)}"
                raise SampleError.at(path, number, reason)
            if text_key is not None:
                text = clean(text_of(sample, text_key, path, number))
                stats = {"chars": len(text), "words": count_words(text), **stats}
            yield stats


def _number(value: Any) -> float | None:
    """Convert a statistic to one number, NaN if missing; ``None`` if it is not numeric."""
    if isinstance(value, list) and value:
        # math.fsum is exact: a mean must not depend on the order of a sample's images.
        numbers = [number for number in map(_number, value) if number is not None]
        return math.fsum(numbers) / len(numbers) if len(numbers) == len(value) else None
    if value is None or value == []:
        return math.nan
    # To Python a bool is an int, but a flag has no mean or distance.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None
