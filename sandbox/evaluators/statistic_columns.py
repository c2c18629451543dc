"""Numbers about every sample of a pool: its statistics and the lengths of its text, column by column."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.pool_reader import STATS, samples, text_of
from sandbox.evaluators.words import clean, count_words

Floats = NDArray[np.float64]

LENGTHS = ("chars", "words")
_MISSING = math.nan


@dataclass(frozen=True)
class Columns:
    """What is known of the samples of some pools.

    Args:
        num_samples: Number of samples.
        values: By statistic one number a sample, NaN where it has none.
        left_out: Statistics that are not numeric.
    """

    num_samples: int
    values: dict[str, Floats]
    left_out: list[str]


def read_columns(
    paths: Sequence[Path], statistics: Sequence[str] | None, text_key: str | None
) -> Columns:
    """The numeric statistics under ``__dj__stats__``, and ``chars`` and ``words`` of the texts.

    Lists of numbers count by their mean. ``null`` and NaN are missing.

    Args:
        paths: Pools that are one data set.
        statistics: The statistics wanted; ``None`` takes all numeric ones.
        text_key: Key of a sample's text; ``None`` leaves the lengths out.

    Raises:
        ValueError: A sample cannot be read, a wanted statistic is not there or not numeric, or there
            are no numbers at all.
        FileNotFoundError: A pool is missing.
    """
    table = _Table(statistics)
    for stats in _numbers(paths, text_key):
        table.add(stats)
    lengths = LENGTHS if text_key is not None else ()
    where = ", ".join(map(str, paths))
    for name in statistics or ():
        if name not in table.columns or name in table.others:
            available = sorted((table.seen - table.others).union(lengths))
            problem = "is not numeric" if name in table.others else "is not there"
            raise ValueError(
                f"{where}: statistic {name!r} {problem}; available: {', '.join(available) or 'none'}"
            )
    values = {name: column for name, column in table.finished() if name not in table.others}
    if not values:
        raise ValueError(
            f"{where}: no numeric statistics under {STATS!r}; analyse the data set first"
        )
    return Columns(table.num_samples, values, sorted(table.others))


class _Table:
    """Columns that grow sample by sample, 8 bytes a number."""

    def __init__(self, wanted: Sequence[str] | None) -> None:
        self.num_samples = 0
        self.columns: dict[str, array[float]] = {}
        self.seen: set[str] = set()
        self.others: set[str] = set()
        self._wanted = None if wanted is None else {*wanted, *LENGTHS}

    def add(self, stats: dict[str, Any]) -> None:
        self.seen.update(stats)
        for name, value in stats.items():
            if self._wanted is None or name in self._wanted:
                number = _number(value)
                if number is None:
                    self.others.add(name)
                else:
                    column = self.columns.setdefault(name, array("d"))
                    column.extend([_MISSING] * (self.num_samples - len(column)))
                    column.append(number)
        self.num_samples += 1

    def finished(self) -> Iterator[tuple[str, Floats]]:
        for name, column in self.columns.items():
            column.extend([_MISSING] * (self.num_samples - len(column)))
            values = np.frombuffer(column, dtype=np.float64)
            if not np.isnan(values).all():
                yield name, values


def _numbers(paths: Sequence[Path], text_key: str | None) -> Iterator[dict[str, Any]]:
    for path in paths:
        for number, sample in samples(path):
            stats = sample.get(STATS) or {}
            if not isinstance(stats, dict):
                raise ValueError(
                    f"{path}, line {number}: expected a mapping under {STATS!r}, got {stats!r}"
                )
            if text_key is not None:
                text = clean(text_of(sample, text_key, path, number))
                stats = {"chars": len(text), "words": count_words(text), **stats}
            yield stats


def _number(value: Any) -> float | None:
    """A statistic as one number, NaN where it is missing; ``None`` where it is no number."""
    if isinstance(value, list) and value:
        numbers = [_number(item) for item in value]
        known = [number for number in numbers if number is not None]
        return math.fsum(known) / len(known) if len(known) == len(numbers) else None
    if value is None or value == []:
        return _MISSING
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
