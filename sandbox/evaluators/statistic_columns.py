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

LENGTHS = ("chars", "words")
_MISSING = math.nan


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
        SampleError: A sample cannot be read.
        ValueError: A statistic of ``statistics`` does not exist or is not numeric, or there are no
            numbers at all.
    """
    table = _Table(statistics)
    for stats in _sample_stats(paths, text_key):
        table.add(stats)
    place = ", ".join(map(str, paths))
    for name in statistics or ():
        _check_numeric(name, table, place, LENGTHS if text_key is not None else ())
    values = {name: column for name, column in table.columns() if name not in table.non_numeric}
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
        self._names = None if names is None else {*names, *LENGTHS}
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

    def columns(self) -> Iterator[tuple[str, Floats]]:
        """Yield name and values of every column that has a value."""
        for name in self._columns:
            # A view, not a copy: the columns are the largest part of the memory.
            values = np.frombuffer(self._padded(name), dtype=np.float64)
            if not np.isnan(values).all():
                yield name, values

    def _padded(self, name: str) -> array[float]:
        """Return a column, filled up with missing values for samples that had none."""
        column = self._columns.setdefault(name, array("d"))
        column.extend([_MISSING] * (self.num_samples - len(column)))
        return column


def _check_numeric(name: str, table: _Table, place: str, lengths: Sequence[str]) -> None:
    if name in table.seen and name not in table.non_numeric:
        return
    problem = "is not numeric" if name in table.non_numeric else "does not exist"
    available = ", ".join(sorted((table.seen - table.non_numeric).union(lengths))) or "none"
    raise ValueError(f"{place}: statistic {name!r} {problem}; available: {available}")


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
        return _MISSING
    # To Python a bool is an int, but a flag has no mean or distance.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None
