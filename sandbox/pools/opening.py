"""Open a pool of any format for the engine that its output needs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from sandbox.pools.conversion import json_batches, parquet_batches, unpack
from sandbox.pools.lines import Lines, Rows, as_one, write_all
from sandbox.pools.media import absolute_columns, loads, made_absolute, perhaps_relative, prefix_of
from sandbox.pools.pool_file import check_exists, format_of
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table

Pool = TypeVar("Pool", Lines, Table, Lines | Table)
_BATCH = 2048
_PENDING = 64 << 10


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


def movable(pool: Pool, scratch_dir: Path) -> Pool:
    """The same pool, valid in another folder: its relative media paths are made absolute.

    Data-Juicer counts relative paths from the pool's folder. Only lines that have some are rewritten,
    and in them only those paths; where there is none, the pool itself comes back.
    """
    if isinstance(pool, Table):
        return pool
    file: BinaryIO | None = None
    start, changed = 0, bytearray()
    prefix = _prefix(pool)

    def found(first: int, last: int) -> Indices:
        return perhaps_relative(as_one(pool.span(first, last)), pool.block(first, last)) + first

    for row in np.concatenate(list(pool.over_blocks(found))):
        line = _made_absolute(pool, row, prefix)
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
    return Lines(file, pool.name)


class Moving:
    """Lines that are looked at, and made valid in another folder, as they are written.

    For a few lines of a large pool: :func:`movable` looks at all of them, but only once.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._prefix = _prefix(lines)

    def pieces(self, rows: Rows) -> Iterator[bytes | memoryview]:
        """The samples ``rows``, see :meth:`Lines.pieces`."""
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            pieces: list[bytes | memoryview] = list(self._lines.pieces(part))
            if any(len(perhaps_relative(piece, piece)) for piece in map(as_one, pieces)):
                pieces = [_made_absolute(self._lines, row, self._prefix) for row in part]
            yield from pieces


def open_lines(path: Path, scratch_dir: Path) -> Lines:
    """A pool as lines; see :func:`open_pool`. Blank lines are left out."""
    check_exists(path)
    kind = format_of(path)
    if kind == "jsonl":
        file: BinaryIO = path.open("rb", buffering=0)
    else:
        file = scratch_file(scratch_dir)
        unpack(path, kind, file)
        file.flush()
    if not os.fstat(file.fileno()).st_size:
        raise ValueError(f"{path}: the data pool is empty")
    lines = Lines(file, str(path))
    if lines.is_plain:
        return lines
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
    file = scratch_file(scratch_dir)
    is_parquet = format_of(path) == "parquet"
    batches = parquet_batches(path) if is_parquet else json_batches(open_lines(path, scratch_dir))
    schema = next(batches)
    try:
        with pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                table = absolute_columns(pa.Table.from_batches([batch]), path.absolute().parent)
                writer.write_table(table.combine_chunks())
    except pa.ArrowInvalid as error:  # nested too deeply
        raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error
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
        sample = loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: sample {number}: not valid JSON: {error}") from error
    if not isinstance(sample, dict):
        raise ValueError(f"{name}: sample {number}: expected a JSON object, got {line[:60]!r}")
    return sample


def _prefix(lines: Lines) -> bytes:
    return prefix_of(Path(lines.name).absolute().parent)


def _made_absolute(lines: Lines, row: int, prefix: bytes) -> bytes:
    line = lines[row]
    return made_absolute(line, parse(line, lines.name, row + 1), prefix)


def scratch_file(folder: Path) -> BinaryIO:
    """A file without a name in a folder, gone when it is closed."""
    return tempfile.TemporaryFile(dir=folder)


def _blank(lines: Lines, start: int, stop: int) -> Indices:
    """Blank ones among some lines; all others must begin and end like a JSON object.

    Those with control characters, which may stand between values but not in a text, are parsed.
    """
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
            shown = line[:60].decode(errors="replace")
            raise ValueError(
                f"{lines.name}:{row + 1}: expected a JSON object on every line, got {shown!r}"
            )
        elif row in controlled:
            parse(line, lines.name, row + 1)
    return np.array(blank, dtype=np.int64)


def _tidied(lines: Lines, blank: Indices, scratch_dir: Path) -> Lines:
    file = scratch_file(scratch_dir)
    start = 0
    for row in [*blank.tolist(), len(lines)]:
        lines.copy_to(file.fileno(), range(start, row))
        start = row + 1
    if lines.bytes[-1] != ord("\n"):
        write_all(file.fileno(), b"\n")
    return Lines(file, lines.name)
