"""Statistics of samples as columns of numbers, 8 bytes a sample each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sandbox.pools.lines import Lines
from sandbox.pools.opening import parse
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table

STATS = "__dj__stats__"


def read_statistics(
    pool: Lines | Table, wanted: Sequence[str] | None, ignored: Sequence[str]
) -> tuple[dict[str, Indices], list[str]]:
    """The values of every numeric statistic wanted, and the names of those that are not numeric.

    A list of numbers counts by its mean, summed from left to right. The first sample says which
    statistics there are; one is numeric where every sample has numbers, and not where none has.

    Raises:
        ValueError: There are no statistics, none with a wanted or ignored name, a wanted one is not
            numeric, one is numeric in some samples only, a sample lacks one, or a line is malformed.
    """
    first = _first_statistics(pool)
    unknown = [name for name in (*(wanted or ()), *ignored) if name not in first]
    if unknown:
        available = ", ".join(sorted(first))
        raise ValueError(f"{pool.name}: no statistic {', '.join(unknown)}; available: {available}")
    names = [name for name in wanted or first if name not in ignored]
    left_out = [name for name in names if not _is_numeric(first[name])]
    if left_out and wanted is not None:
        raise ValueError(f"{pool.name}: not numeric, cannot be split by: {', '.join(left_out)}")
    columns = {name: np.empty(len(pool)) for name in names if name not in left_out}
    if not columns:
        raise ValueError(f"{pool.name}: there is no numeric statistic to split by")
    others = {name: first[name] for name in left_out}
    if isinstance(pool, Table):
        _read_table(pool, columns, others)
    else:
        _read_lines(pool, columns, others, first)
    return columns, left_out


def _first_statistics(pool: Lines | Table) -> dict[str, Any]:
    first = (
        parse(pool[0], pool.name, 1)
        if isinstance(pool, Lines)
        else pool.batches[0][:1].to_pylist()[0]
    )
    return _statistics(first, pool.name, 1)


def _statistics(sample: Mapping[str, Any], name: str, number: int) -> dict[str, Any]:
    stats = sample.get(STATS)
    if not isinstance(stats, dict) or (number == 1 and not stats):
        raise ValueError(
            f"{name}: sample {number} has no statistics under {STATS!r}; analyse the data set first"
        )
    return stats


def _read_lines(
    lines: Lines, columns: dict[str, Indices], others: Mapping[str, Any], first: Mapping[str, Any]
) -> None:
    """Fill the columns, block by block, in threads."""
    import pyarrow as pa
    import pyarrow.json as pj

    kinds = {
        name: pa.list_(pa.float64()) if isinstance(first[name], list) else pa.float64()
        for name in columns
    }
    schema = pa.schema([(STATS, pa.struct(list(kinds.items())))])

    def read(start: int, stop: int) -> None:
        data = lines.span(start, stop)
        reading = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
        parsing = pj.ParseOptions(explicit_schema=schema)
        try:
            table = pj.read_json(pa.BufferReader(data), read_options=reading, parse_options=parsing)
            stats = table[STATS].combine_chunks()
            is_whole = len(stats) == stop - start and not stats.null_count
            known = {field.name for field in stats.type} <= set(first)
            known &= not any(
                _has_numbers(field.type) for field in stats.type if field.name in others
            )
        except pa.ArrowInvalid:
            is_whole = known = False
        if not (is_whole and known and _fill(columns, stats, start)):
            _read_slowly(lines, columns, others, first, start, stop)

    for _ in lines.over_blocks(read):
        pass


def _fill(columns: dict[str, Indices], stats: Any, start: int) -> bool:
    """Fill a block of the columns from Arrow; whether every sample had every statistic."""
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


def _read_slowly(
    lines: Lines,
    columns: dict[str, Indices],
    others: Mapping[str, Any],
    first: Mapping[str, Any],
    start: int,
    stop: int,
) -> None:
    """Sample by sample: for kinds that Arrow does not take for one column, and to find what is wrong."""
    for row in range(start, stop):
        stats = _statistics(parse(lines[row], lines.name, row + 1), lines.name, row + 1)
        late = [name for name in stats if name not in first]
        if late:
            raise _lack(lines.name, 1, late[0], None)
        _read_sample(stats, columns, others, lines.name, row)


def _read_table(table: Table, columns: dict[str, Indices], others: Mapping[str, Any]) -> None:
    start = 0
    for batch in table.batches:
        samples = batch.select([STATS]).to_pylist() if STATS in batch.schema.names else []
        for row, sample in enumerate(samples, start):
            _read_sample(_statistics(sample, table.name, row + 1), columns, others, table.name, row)
        start += batch.num_rows


def _read_sample(
    stats: Mapping[str, Any],
    columns: dict[str, Indices],
    others: Mapping[str, Any],
    pool: str,
    row: int,
) -> None:
    for name, column in columns.items():
        column[row] = _number(stats.get(name), pool, row + 1, name)
    for name, value in others.items():
        if _is_numeric(stats.get(name)) and stats[name] != []:
            raise ValueError(
                f"{pool}: the statistic {name!r} is {json.dumps(value)} in sample 1, but a number in sample "
                f"{row + 1}: {json.dumps(stats[name])}; leave it out with ignore_stats"
            )


def _number(value: Any, pool: str, number: int, name: str) -> float:
    if isinstance(value, list) and value and _is_numeric(value):
        total = 0.0
        for each in value:
            total += each
        return total / len(value)
    if isinstance(value, list) or not _is_numeric(value):
        raise _lack(pool, number, name, value)
    return float(value)


def _lack(pool: str, number: int, name: str, value: Any) -> ValueError:
    return ValueError(
        f"{pool}: sample {number} lacks the statistic {name!r}: expected a number or a list of numbers, "
        f"got {json.dumps(value)}; leave it out with ignore_stats or analyse the data set again"
    )


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numeric(each) and not isinstance(each, list) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
