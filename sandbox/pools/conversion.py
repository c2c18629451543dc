"""Between formats of pools."""

from __future__ import annotations

import datetime
import gzip
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sandbox.pools.lines import Lines, write_all

_BATCH = 8192
_LONG_NUMBER = r"[:\[,\s]-?[0-9]{16,}[\s,\]}]"


def unpack(path: Path, kind: str, file: BinaryIO) -> None:
    """Write a pool of another format as JSON Lines.

    Raises:
        ValueError: The file is damaged, or holds what JSON cannot say.
    """
    if kind == "parquet":
        batches = parquet_batches(path)
        next(batches)
        for batch in batches:
            write_all(
                file.fileno(), b"".join(_json_line(sample, path) for sample in batch.to_pylist())
            )
        return
    with path.open("rb") as packed:
        try:
            if kind == "jsonl.gz":
                shutil.copyfileobj(gzip.GzipFile(fileobj=packed), file, 1 << 20)
            else:
                _unpack_frames(packed, file)
        except (EOFError, gzip.BadGzipFile, zlib.error, _zstandard_error()) as error:
            raise ValueError(f"{path}: cannot be unpacked: {error}") from error


def _unpack_frames(packed: BinaryIO, file: BinaryIO) -> None:
    """Zstandard's frames one by one: its own streams say nothing of a last one that is cut off."""
    import zstandard

    frame: Any = None
    while chunk := packed.read(1 << 20):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            file.write(frame.decompress(chunk))
            chunk = b""
            if frame.eof:
                chunk, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the file ends before its end-of-frame marker")


def _zstandard_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _json_line(sample: dict[str, Any], path: Path) -> bytes:
    def refuse(value: Any) -> str:
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        raise ValueError(
            f"{path}: {type(value).__name__} cannot be written as JSON Lines; write Parquet"
        )

    return json.dumps(sample, ensure_ascii=False, default=refuse).encode() + b"\n"


def parquet_batches(path: Path) -> Iterator[Any]:
    """The schema of a Parquet file, then its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow
            yield from file.iter_batches(_BATCH)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file that can be read: {error}") from error


def json_batches(lines: Lines) -> Iterator[Any]:
    """The schema that JSON Lines have in common, then their rows.

    Raises:
        ValueError: They have none, or a line is malformed.
    """
    schema = _common_schema(lines)
    yield schema
    for start in range(0, len(lines), _BATCH):
        table = _parsed(lines, start, schema)
        _check_numbers(lines, start, table)
        yield from table.to_batches()


def _check_numbers(lines: Lines, start: int, table: Any) -> None:
    """Refuse whole numbers that the table holds otherwise: as doubles, which end at 2⁵³ or lose digits."""
    import pyarrow.compute as pc

    block = lines.block(start, start + len(table))
    found = pc.match_substring_regex(block, _LONG_NUMBER).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(found).tolist():
        read = set(_numbers(json.loads(lines[start + row])))
        lost = read - set(_numbers(table.slice(row, 1).to_pylist()))
        if lost:
            raise ValueError(
                f"{lines.name}: sample {start + row + 1}: {min(lost)} does not fit its column in Parquet: "
                "whole numbers of 64 bits, or doubles where a sample has a fraction"
            )


def _numbers(value: Any) -> Iterator[int | float]:
    """Numbers of a sample from 2⁵³, at any depth; of equal value are equal, whole or not."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and abs(value) >= 1 << 53:
        yield value


def _common_schema(lines: Lines) -> Any:
    """One schema for all samples; what looks like a time stays text."""
    import pyarrow as pa

    found: dict[str, Any] = {}
    for start in range(0, len(lines), _BATCH):
        schema = pa.schema(
            list(_without_times(pa.struct(list(_parsed(lines, start, None).schema))))
        )
        found[str(schema)] = schema
    try:
        return pa.unify_schemas(list(found.values()), promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{lines.name}: samples do not fit one Parquet schema: {error}") from error


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

    data = lines.span(start, min(start + _BATCH, len(lines)))
    reading = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parsing = pj.ParseOptions(explicit_schema=schema)
    try:
        return pj.read_json(pa.BufferReader(data), read_options=reading, parse_options=parsing)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{lines.name}: cannot be written as Parquet: {error}") from error
