"""Open a pool of any format for the engine that its output needs."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from sandbox.pools.lines import Lines, Rows, write_all
from sandbox.pools.media import absolute_columns, made_absolute, with_relative_media
from sandbox.pools.pool_file import check_exists, format_of
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table

Pool = TypeVar("Pool", Lines, Table, Lines | Table)
_BATCH = 8192


def open_pool(path: Path, output_format: str | None, scratch_dir: Path) -> Lines | Table:
    """A pool as lines, or as a table where Parquet is to be written (``None``: in the pool's own format).

    What is compressed or of the other kind is unpacked once, to a nameless file in ``scratch_dir``.

    Raises:
        FileNotFoundError: The pool is missing.
        ValueError: It is empty or malformed.
    """
    if (output_format or format_of(path)) == "parquet":
        return open_table(path, scratch_dir)
    return open_lines(path, scratch_dir)


def movable(pool: Pool, scratch_dir: Path, rows: Rows | None = None) -> Pool:
    """The same pool, valid in another folder: relative media paths among ``rows`` are made absolute.

    Data-Juicer counts relative paths from the pool's folder. Only lines that have some are rewritten,
    and in them only those paths; where there is none, the pool itself comes back.
    """
    if isinstance(pool, Table):
        return pool
    folder = Path(pool.name).absolute().parent
    file: BinaryIO | None = None
    start = 0
    for row in with_relative_media(pool, None if isinstance(rows, range) else rows).tolist():
        line = _made_absolute(pool, row, folder)
        if line == pool[row]:
            continue
        file = file or _scratch(scratch_dir)
        pool.copy_to(file.fileno(), range(start, row))
        write_all(file.fileno(), line)
        start = row + 1
    if file is None:
        return pool
    pool.copy_to(file.fileno(), range(start, len(pool)))
    return Lines(file, pool.name)


def open_lines(path: Path, scratch_dir: Path) -> Lines:
    """A pool as lines; see :func:`open_pool`. Blank lines are left out."""
    check_exists(path)
    kind = format_of(path)
    if kind == "jsonl":
        file: BinaryIO = path.open("rb", buffering=0)
    else:
        file = _scratch(scratch_dir)
        _unpack(path, kind, file)
        file.flush()
    if not os.fstat(file.fileno()).st_size:
        raise ValueError(f"{path}: the data pool is empty")
    lines = Lines(file, str(path))
    blank = np.concatenate(list(lines.over_blocks(lambda start, stop: _blank(lines, start, stop))))
    if len(blank) == len(lines):
        raise ValueError(f"{path}: the data pool is empty")
    if len(blank) or lines.bytes[-1] != ord("\n"):
        return _tidied(lines, blank, scratch_dir)
    return lines


def open_table(path: Path, scratch_dir: Path) -> Table:
    """A pool as a table; see :func:`open_pool`. Relative media paths in it are made absolute."""
    import pyarrow as pa

    check_exists(path)
    if not path.stat().st_size:
        raise ValueError(f"{path}: the data pool is empty")
    file = _scratch(scratch_dir)
    if format_of(path) == "parquet":
        batches = _parquet_batches(path)
        schema = next(batches)
    else:
        lines = open_lines(path, scratch_dir)
        schema = _schema(lines)
        batches = (_parsed(lines, start, schema).to_batches() for start in range(0, len(lines), _BATCH))
        batches = (batch for each in batches for batch in each)
    with pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            table = absolute_columns(pa.Table.from_batches([batch]), path.absolute().parent)
            writer.write_table(table.combine_chunks())
    file.flush()
    table = Table(file, str(path))
    if not len(table):
        raise ValueError(f"{path}: the data pool is empty")
    return table


def parse(line: bytes, name: str, number: int) -> dict[str, Any]:
    """The sample of a line; ``number`` counts from 1.

    Raises:
        ValueError: The line is not a JSON object in UTF-8.
    """
    try:
        sample = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name}: sample {number}: not valid JSON: {error}") from error
    if not isinstance(sample, dict):
        raise ValueError(f"{name}: sample {number}: expected a JSON object, got {line[:60]!r}")
    return sample


def _made_absolute(lines: Lines, row: int, folder: Path) -> bytes:
    line = lines[row]
    return made_absolute(line, parse(line, lines.name, row + 1), folder)


def _scratch(folder: Path) -> BinaryIO:
    return tempfile.TemporaryFile(dir=folder)


def _unpack(path: Path, kind: str, file: BinaryIO) -> None:
    if kind == "parquet":
        batches = _parquet_batches(path)
        next(batches)
        for batch in batches:
            write_all(file.fileno(), b"".join(_json_line(sample, path) for sample in batch.to_pylist()))
        return
    with path.open("rb") as packed:
        try:
            if kind == "jsonl.gz":
                shutil.copyfileobj(gzip.GzipFile(fileobj=packed), file, 1 << 20)
            else:
                import zstandard

                zstandard.ZstdDecompressor().copy_stream(packed, file)
        except (EOFError, gzip.BadGzipFile, zlib.error, _zstandard_error()) as error:
            raise ValueError(f"{path}: cannot be unpacked: {error}") from error


def _zstandard_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _json_line(sample: dict[str, Any], path: Path) -> bytes:
    def refuse(value: Any) -> str:
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        raise ValueError(f"{path}: {type(value).__name__} cannot be written as JSON Lines; write Parquet")

    return json.dumps(sample, ensure_ascii=False, default=refuse).encode() + b"\n"


def _blank(lines: Lines, start: int, stop: int) -> Indices:
    """Blank ones among some lines; all others must begin and end like a JSON object."""
    offsets = lines.offsets[start : stop + 1]
    last = np.maximum(offsets[1:] - 2, 0)
    is_plain = (lines.bytes[offsets[:-1]] == ord("{")) & (lines.bytes[last] == ord("}"))
    blank = []
    for row in (np.flatnonzero(~is_plain) + start).tolist():
        line = lines[row].strip()
        if not line:
            blank.append(row)
        elif not (line.startswith(b"{") and line.endswith(b"}")):
            shown = line[:60].decode(errors="replace")
            raise ValueError(f"{lines.name}:{row + 1}: expected a JSON object on every line, got {shown}")
    return np.array(blank, dtype=np.int64)


def _tidied(lines: Lines, blank: Indices, scratch_dir: Path) -> Lines:
    file = _scratch(scratch_dir)
    start = 0
    for row in [*blank.tolist(), len(lines)]:
        lines.copy_to(file.fileno(), range(start, row))
        start = row + 1
    if lines.bytes[-1] != ord("\n"):
        write_all(file.fileno(), b"\n")
    return Lines(file, lines.name)


def _parquet_batches(path: Path) -> Iterator[Any]:
    """The schema of a Parquet file, then its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow
            yield from file.iter_batches(_BATCH)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file that can be read: {error}") from error


def _schema(lines: Lines) -> Any:
    """One schema for all samples; what looks like a time stays text."""
    import pyarrow as pa

    found: dict[str, Any] = {}
    for start in range(0, len(lines), _BATCH):
        schema = _as_read(_parsed(lines, start, None).schema)
        found[str(schema)] = schema
    try:
        return pa.unify_schemas(list(found.values()), promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{lines.name}: samples do not fit one Parquet schema: {error}") from error


def _as_read(schema: Any) -> Any:
    import pyarrow as pa

    fields = [f.with_type(pa.string()) if pa.types.is_timestamp(f.type) else f for f in schema]
    return pa.schema(fields)


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
