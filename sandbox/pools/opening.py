"""Open a pool of any format for the engine that its output needs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from sandbox.pools.conversion import json_batches
from sandbox.pools.lines import Lines, Rows, as_one, scratch_file
from sandbox.pools.media import absolute_columns, made_absolute, perhaps_relative, prefix_of
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table
from sandbox.samples import (
    STATS,
    SampleError,
    format_of,
    json_chunks,
    media_folder,
    parquet_batches,
    shards,
    shown,
    stats_beside,
)
from sandbox.system.files import write_all

Pool = TypeVar("Pool", Lines, Table, Lines | Table)
_BATCH = 2048
_PARQUET_BATCH = 8192
_PENDING = 64 << 10  # bytes of changed lines that are written at once


def open_pool(path: Path, output_format: str | None, scratch_dir: Path) -> Lines | Table:
    """Open a pool as lines, or as a table if Parquet is to be written.

    Compressed pools, folders of shards and pools of the other kind are unpacked once, to a file
    without a name in ``scratch_dir``.

    Args:
        path: The pool.
        output_format: Format of the pools that are made of it; ``None`` is its own.
        scratch_dir: A folder with room for the unpacked pool.

    Raises:
        FileNotFoundError: The pool is missing.
        SampleError: It is empty or malformed.
    """
    if (output_format or format_of(path)) == "parquet":
        return open_table(path, scratch_dir)
    return open_lines(path, scratch_dir)


def open_lines(path: Path, scratch_dir: Path) -> Lines:
    """Open a pool as lines; see :func:`open_pool`. Blank lines are left out."""
    return _lines_of(path, shards(path), scratch_dir)


def open_table(path: Path, scratch_dir: Path) -> Table:
    """Open a pool as a table; see :func:`open_pool`. Relative media paths become absolute."""
    import pyarrow as pa

    files = shards(path)
    if all(format_of(each) == "parquet" for each in files):
        parts = (parquet_batches(each, _PARQUET_BATCH) for each in files)
        batches: Iterator[Any] = itertools.chain.from_iterable(parts)
    else:
        batches = json_batches(open_lines(path, scratch_dir))
    file = scratch_file(scratch_dir)
    writer, num_rows = None, 0
    try:
        for batch in batches:
            table = absolute_columns(pa.Table.from_batches([batch]), media_folder(path))
            writer = writer or pa.ipc.new_file(file, batch.schema)
            writer.write_table(table.combine_chunks())
            num_rows += len(table)
    except pa.ArrowInvalid as error:  # nested too deeply, or shards of different schemas
        raise SampleError.at(path, None, f"cannot be read as Parquet: {error}") from error
    if writer is None or not num_rows:
        raise SampleError.at(path, None, "the data pool is empty")
    writer.close()
    file.flush()
    return Table(file, path)


def open_statistics(
    pool: Lines | Table, stats_path: Path | None, scratch_dir: Path
) -> Lines | Table:
    """Return the pool that holds a pool's statistics: another file, or the pool itself.

    Args:
        pool: The samples.
        stats_path: A file of statistics; ``None`` looks into the first sample, then for
            Data-Juicer's separate file beside the pool, or beside every shard.
        scratch_dir: As of :func:`open_pool`.

    Raises:
        ValueError: There are more or fewer statistics than samples.
    """
    if stats_path is not None:
        source = open_pool(stats_path, None, scratch_dir)
    elif STATS in next(pool.samples()):
        return pool
    else:
        beside = [stats_beside(each) for each in shards(pool.path)]
        files = [each for each in beside if each is not None]
        if len(files) < len(beside):
            return pool
        source = _lines_of(files[0], files, scratch_dir)
    if len(source) != len(pool):
        raise ValueError(
            f"{source.path} has statistics of {len(source)} samples, "
            f"but {pool.path} has {len(pool)} samples"
        )
    return source


def movable(pool: Pool, scratch_dir: Path) -> Pool:
    """Return the same pool, valid in another folder: its relative media paths are made absolute.

    Data-Juicer counts relative paths from the pool's folder. Only lines that have some are
    rewritten, and in them only those paths; without any, the pool itself comes back.
    """
    if isinstance(pool, Table):
        return pool
    file: BinaryIO | None = None
    start, changed = 0, bytearray()
    prefix = prefix_of(pool.path)

    def found(first: int, last: int) -> Indices:
        return perhaps_relative(as_one(pool.span(first, last)), pool.block(first, last)) + first

    for row in np.concatenate(list(pool.over_blocks(found))):
        line = made_absolute(pool[row], pool.sample(row), prefix)
        if line == pool[row]:
            continue
        file = file or scratch_file(scratch_dir)
        if start < row or len(changed) > _PENDING:
            write_all(file.fileno(), bytes(changed))
            pool.copy_to(file.fileno(), range(start, row))
            changed.clear()
        changed += line
        start = row + 1
    if file is None:
        return pool
    write_all(file.fileno(), bytes(changed))
    pool.copy_to(file.fileno(), range(start, len(pool)))
    return Lines(file, pool.path, pool.blank)


class Moving:
    """Lines whose relative media paths are made absolute as they are written.

    For a few lines of a large pool: :func:`movable` searches all of them, but only once.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._prefix = prefix_of(lines.path)

    def pieces(self, rows: Rows) -> Iterator[bytes | memoryview]:
        """Yield the samples ``rows``, see :meth:`Lines.pieces`."""
        lines = self._lines
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            pieces: list[bytes | memoryview] = list(lines.pieces(part))
            if any(len(perhaps_relative(piece, piece)) for piece in map(as_one, pieces)):
                pieces = [
                    made_absolute(lines[row], lines.sample(row), self._prefix) for row in part
                ]
            yield from pieces


def _lines_of(path: Path, files: Sequence[Path], scratch_dir: Path) -> Lines:
    """Open the files of one pool as its lines."""
    if len(files) == 1 and format_of(files[0]) == "jsonl":
        # Read through the mapping, not through a buffer.
        file: BinaryIO = files[0].open("rb", buffering=0)
    else:
        file = scratch_file(scratch_dir)
        for each in files:
            end = b"\n"
            for chunk in json_chunks(each):
                file.write(chunk)
                end = chunk[-1:] or end
            # The last line of a shard may have no end, and the next shard would continue it.
            if end != b"\n":
                file.write(b"\n")
        file.flush()
    if not os.fstat(file.fileno()).st_size:
        raise SampleError.at(path, None, "the data pool is empty")
    lines = Lines(file, path)
    if lines.is_plain:
        return lines
    blank = np.concatenate(list(lines.over_blocks(lambda start, stop: _blank(lines, start, stop))))
    if len(blank) == len(lines):
        raise SampleError.at(path, None, "the data pool is empty")
    if len(blank) or lines.bytes[-1] != ord("\n"):
        return _tidied(lines, blank, scratch_dir)
    return lines


def _blank(lines: Lines, start: int, stop: int) -> Indices:
    """Find blank lines; all others must begin and end like a JSON object.

    Lines with control characters, which may occur between values but not in a text, are parsed.
    """
    # Vectorised for the usual line; only odd ones become Python objects.
    offsets = lines.offsets[start : stop + 1]
    last = np.maximum(offsets[1:] - 2, 0)
    last -= (lines.bytes[last] == ord("\r")) & (last > offsets[:-1])
    is_plain = (lines.bytes[offsets[:-1]] == ord("{")) & (lines.bytes[last] == ord("}"))
    data = lines.bytes[offsets[0] : offsets[-1]]
    controls = np.flatnonzero(data < ord(" ")) + offsets[0]
    inside = np.searchsorted(offsets, controls, side="right") - 1
    inside = inside[controls < last[inside]]
    is_plain[inside] = False
    controlled = set((inside + start).tolist())
    blank = []
    for row in (np.flatnonzero(~is_plain) + start).tolist():
        line = lines[row].strip(b" \t\r\n")
        if not line:
            blank.append(row)
        elif not (line.startswith(b"{") and line.endswith(b"}")):
            reason = f"expected a JSON object on every line, got {shown(line)}"
            raise SampleError.at(lines.path, row + 1, reason)
        elif row in controlled:
            lines.sample(row)
    return np.array(blank, dtype=np.int64)


def _tidied(lines: Lines, blank: Indices, scratch_dir: Path) -> Lines:
    """Copy lines without the blank ones, and end the last one."""
    file = scratch_file(scratch_dir)
    start = 0
    for row in [*blank.tolist(), len(lines)]:
        lines.copy_to(file.fileno(), range(start, row))
        start = row + 1
    if lines.bytes[-1] != ord("\n"):
        write_all(file.fileno(), b"\n")
    return Lines(file, lines.path, blank)
