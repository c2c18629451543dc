"""JSON Lines as typed rows, for Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from sandbox.pools.lines import Lines
from sandbox.samples import SampleError

_BATCH = 8192
# Arrow may read longer whole numbers as doubles, which lose digits, without an error.
_LONG_NUMBER = r"[:\[,\s]-?[0-9]{16,}[\s,\]}]"


def json_batches(lines: Lines) -> Iterator[Any]:
    """Yield lines as Arrow batches of one schema that all samples have in common.

    Raises:
        SampleError: There is none, or a line is malformed.
    """
    schema = _common_schema(lines)
    for start in range(0, len(lines), _BATCH):
        table = _parsed(lines, start, schema)
        _check_numbers(lines, start, table)
        yield from table.to_batches()


def _check_numbers(lines: Lines, start: int, table: Any) -> None:
    """Refuse whole numbers that become doubles, which are exact up to 2⁵³, or that lose digits."""
    import pyarrow.compute as pc

    block = lines.block(start, start + len(table))
    found = pc.match_substring_regex(block, _LONG_NUMBER).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(found).tolist():
        read = set(_numbers(json.loads(lines[start + row])))
        lost = read - set(_numbers(table.slice(row, 1).to_pylist()))
        if lost:
            reason = (
                f"{min(lost)} does not fit its column in Parquet: whole numbers of 64 bits, "
                "or doubles if a sample has a fraction"
            )
            raise SampleError.at(lines.path, lines.number(start + row), reason)


def _numbers(value: Any) -> Iterator[int | float]:
    """Yield the numbers of a sample from 2⁵³, at any depth; equal ones are equal, whole or not."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and abs(value) >= 1 << 53:
        yield value


def _common_schema(lines: Lines) -> Any:
    """Return one schema for all samples; text that looks like a time stays text."""
    import pyarrow as pa

    found: dict[str, Any] = {}
    for start in range(0, len(lines), _BATCH):
        fields = pa.struct(list(_parsed(lines, start, None).schema))
        schema = pa.schema(list(_without_times(fields)))
        # Most blocks have the same schema, and to unify thousands of them takes long.
        found[str(schema)] = schema
    try:
        return pa.unify_schemas(list(found.values()), promote_options="permissive")
    except pa.ArrowInvalid as error:
        reason = f"samples do not fit one Parquet schema: {error}"
        raise SampleError.at(lines.path, None, reason) from error


def _without_times(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    return kind


def _parsed(lines: Lines, start: int, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.json as pj

    data = lines.span_for_arrow(start, min(start + _BATCH, len(lines)))
    reading = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parsing = pj.ParseOptions(explicit_schema=schema)
    try:
        return pj.read_json(pa.BufferReader(data), read_options=reading, parse_options=parsing)
    except pa.ArrowInvalid as error:
        reason = f"cannot be written as Parquet: {error}"
        raise SampleError.at(lines.path, None, reason) from error
