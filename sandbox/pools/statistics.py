"""Statistics of samples as columns of numbers, 8 bytes a sample each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.pools.lines import Lines
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table
from sandbox.samples import STATS, SampleError


def read_statistics(
    pool: Lines | Table, wanted: Sequence[str] | None, ignored: Sequence[str]
) -> tuple[dict[str, Indices], list[str]]:
    """Return the values of every numeric statistic, and the names of those that are not numeric.

    A list of numbers counts by its mean, summed from left to right. The first sample defines the
    statistics; one is numeric if every sample has numbers, and not if none has.

    Args:
        pool: The samples.
        wanted: Names of statistics; ``None`` takes all.
        ignored: Names to leave out.

    Raises:
        SampleError: A sample has no statistics or not all of them, a statistic is numeric in some
            samples only, or a line is malformed.
        ValueError: A name is unknown, a wanted statistic is not numeric, or none is.
    """
    first = _statistics(pool, 0, next(pool.samples()))
    unknown = [name for name in (*(wanted or ()), *ignored) if name not in first]
    if unknown:
        available = ", ".join(sorted(first))
        raise ValueError(f"{pool.path}: no statistic {', '.join(unknown)}; available: {available}")
    names = [name for name in wanted or first if name not in ignored]
    left_out = [name for name in names if not _is_numeric(first[name])]
    if left_out and wanted is not None:
        raise ValueError(f"{pool.path}: not numeric, cannot be split by: {', '.join(left_out)}")
    columns = {name: np.empty(len(pool)) for name in names if name not in left_out}
    if not columns:
        raise ValueError(f"{pool.path}: there is no numeric statistic to split by")
    reading = _Reading(pool, first, columns, {name: first[name] for name in left_out})
    if isinstance(pool, Table):
        for row, sample in enumerate(pool.samples([STATS])):
            reading.read(row, sample)
    else:
        _read_lines(pool, reading)
    return columns, left_out


@dataclass(frozen=True)
class _Reading:
    """The statistics of a pool while they are read.

    Args:
        pool: The samples.
        first: Statistics of the first sample.
        columns: Values of the numeric ones, to be filled.
        others: Values in the first sample of those that are not numeric.
    """

    pool: Lines | Table
    first: Mapping[str, Any]
    columns: dict[str, Indices]
    others: Mapping[str, Any]

    def read(self, row: int, sample: Mapping[str, Any]) -> None:
        """Fill one row of the columns."""
        stats = _statistics(self.pool, row, sample)
        for name, column in self.columns.items():
            number = _number(stats.get(name))
            if number is None:
                raise _missing(self.pool, row, name, stats.get(name))
            column[row] = number
        for name, value in self.others.items():
            if _is_numeric(stats.get(name)) and stats[name] != []:
                reason = (
                    f"the statistic {name!r} is a number, {json.dumps(stats[name])}, but "
                    f"{json.dumps(value)} in sample 1; leave it out with ignore_stats"
                )
                raise SampleError.at(self.pool.path, self.pool.number(row), reason)


def _statistics(pool: Lines | Table, row: int, sample: Mapping[str, Any]) -> dict[str, Any]:
    stats = sample.get(STATS)
    if not isinstance(stats, dict) or (row == 0 and not stats):
        reason = f"no statistics under {STATS!r}; analyse the data set first"
        raise SampleError.at(pool.path, pool.number(row), reason)
    return stats


def _missing(pool: Lines | Table, row: int, name: str, value: Any) -> SampleError:
    reason = (
        f"no statistic {name!r}: expected a number or a list of numbers, got {json.dumps(value)}; "
        "leave it out with ignore_stats"
    )
    return SampleError.at(pool.path, pool.number(row), reason)


def _number(value: Any) -> float | None:
    """Return a number, or the mean of a list of numbers; else ``None``."""
    if not _is_numeric(value) or value == []:
        return None
    if not isinstance(value, list):
        return float(value)
    total = 0.0
    for each in value:
        total += each
    return total / len(value)


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numeric(each) and not isinstance(each, list) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


# JSON Lines: block by block through Arrow, in threads.


def _read_lines(lines: Lines, reading: _Reading) -> None:
    import pyarrow as pa

    # Only these columns are parsed into values, which is why Arrow is faster than Python here.
    kinds = {
        name: pa.list_(pa.float64()) if isinstance(reading.first[name], list) else pa.float64()
        for name in reading.columns
    }
    schema = pa.schema([(STATS, pa.struct(list(kinds.items())))])

    def read(start: int, stop: int) -> None:
        stats = _arrow_statistics(lines, start, stop, schema, reading)
        if stats is None or not _fill(reading.columns, stats, start):
            _read_slowly(lines, reading, start, stop)

    for _ in lines.over_blocks(read):
        pass


def _arrow_statistics(
    lines: Lines, start: int, stop: int, schema: Any, reading: _Reading
) -> Any | None:
    """Return a block's statistics, or ``None`` unless each sample has those of the first sample."""
    import pyarrow as pa
    import pyarrow.json as pj

    data = lines.span_for_arrow(start, stop)
    options = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parsing = pj.ParseOptions(explicit_schema=schema)
    try:
        table = pj.read_json(pa.BufferReader(data), read_options=options, parse_options=parsing)
    except pa.ArrowInvalid:
        return None
    stats = table[STATS].combine_chunks()
    if len(stats) != stop - start or stats.null_count:
        return None
    if not {field.name for field in stats.type} <= set(reading.first):
        return None
    others = [field for field in stats.type if field.name in reading.others]
    return None if any(_has_numbers(field.type) for field in others) else stats


def _fill(columns: dict[str, Indices], stats: Any, start: int) -> bool:
    """Fill a block of the columns from Arrow; return True if every sample had every statistic."""
    for name, column in columns.items():
        values = stats.field(name)
        if values.null_count:
            return False
        means = _means(values)
        if means is None:
            return False
        column[start : start + len(means)] = means
    return True


def _means(values: Any) -> Indices | None:
    import pyarrow as pa

    if not pa.types.is_list(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    flat = values.flatten()
    lengths = values.value_lengths().to_numpy(zero_copy_only=False)
    if flat.null_count or not lengths.all():
        return None
    numbers = flat.to_numpy(zero_copy_only=False)
    # By place in the lists, not by list: the order of the sum is that of the slow way.
    starts = np.cumsum(lengths) - lengths
    sums = numbers[starts]
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        sums[longer] += numbers[starts[longer] + place]
    return np.asarray(sums / lengths, dtype=np.float64)


def _has_numbers(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _read_slowly(lines: Lines, reading: _Reading, start: int, stop: int) -> None:
    """Read a block sample by sample: kinds that are mixed for Arrow, and to find an error."""
    for row in range(start, stop):
        sample = lines.sample(row)
        stats = _statistics(lines, row, sample)
        late = [name for name in stats if name not in reading.first]
        if late:
            raise _missing(lines, 0, late[0], None)
        reading.read(row, sample)
