"""JSON Lines pools of any size: lines in any order, without parsing them.

The file is mapped into memory, the line ends are found block by block (8 bytes a sample), and
mapping and offsets together are an Arrow array of binary values, without a copy. Arrow's ``take``
then puts the wanted lines side by side: its data buffer is written as it is. All of it runs outside
Python's lock, so that several threads work at once.

Chosen by measuring on two shared cores, in CPU seconds because they were busy: 100,000 samples of
534 bytes, cut into 27 pools along 9 statistics, 480 MB written, statistics read included. This way
1.0 (up to twice that with five other processes beside it); slicing raw lines in Python 1.1, but
under Python's lock and with the whole file in memory; pyarrow.json over the whole file and ``take``
1.2, likewise; polars 3.1, which spells every sample anew; DuckDB 3.7, 535 MB; ``cp`` of the output
0.2. Of 1 million, beforehand: slices 26.9 s, pyarrow.json as a whole 13.3 s and 1.1 GB.
"""

from __future__ import annotations

import bisect
import errno
import logging
import mmap
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from sandbox.pools.sampling import Indices
from sandbox.samples import SampleError, parse_sample
from sandbox.system.files import write_all
from sandbox.system.hardware import available_cpus

LOG_EVERY_S = 5.0
DEEPEST = 500
"""Levels of nesting that Arrow may parse; Python's parser gives up at about 1,000."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
Rows = Indices | range
"""Samples in some order; a range takes them as they follow each other in the file."""

# Bytes. The kernel maps _FAULT bytes around every byte that is touched, so a take of _TAKE lines
# may make 64 MB of the file resident; a file up to _SMALL may be resident as a whole.
_SCAN = 4 << 20
_COPY = 16 << 20
_FAULT = 64 << 10
_SMALL = 64 << 20
_WINDOW = 40 << 20  # of all threads together, with 32 bytes a line
# Lines.
_CHECK = 4096
_TAKE = 1024
_TAKE_WINDOW = 4096
_CANNOT_COPY = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # file systems differ
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NONE_BLANK = np.zeros(0, dtype=np.int64)


def num_threads() -> int:
    """Return the threads for work on pools: the cores that this process may use, at most 8."""
    return min(8, available_cpus())


class Lines:
    """The lines of an uncompressed JSON Lines file that ends with a line end.

    Memory is 8 bytes a line; only those parts of the mapping that are in use are resident.

    Args:
        file: The file, uncompressed and not empty; kept open.
        path: The pool that it holds, for messages.
        blank: Rows of the blank lines that the pool has and the file has not, ascending.
    """

    def __init__(self, file: BinaryIO, path: Path, blank: Indices = _NONE_BLANK) -> None:
        self.path = path
        self.blank = blank
        self._blank_before = (blank - np.arange(len(blank))).tolist()
        self._file = file
        self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.bytes = np.frombuffer(self._map, dtype=np.uint8)
        self.offsets, self.is_plain = self._find_lines()
        self._array = _binary_array(self.offsets, self._map)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        return self._map[int(self.offsets[row]) : int(self.offsets[row + 1])]

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self), _CHECK):
            stop = min(start + _CHECK, len(self))
            yield from (self[row] for row in range(start, stop))
            self._forget(int(self.offsets[start]), int(self.offsets[stop]))

    def number(self, row: int) -> int:
        """Return the number of a line in the pool's own file, from 1."""
        return row + bisect.bisect_right(self._blank_before, row) + 1

    def sample(self, row: int) -> dict[str, Any]:
        """Return the sample of a line.

        Raises:
            SampleError: The line is not a JSON object in UTF-8.
        """
        return parse_sample(self[row], self.path, self.number(row))

    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield the samples of all lines, as :meth:`sample` returns them."""
        for row, line in enumerate(self):
            yield parse_sample(line, self.path, self.number(row))

    def block(self, start: int, stop: int, shift: int = 0) -> Any:
        """Return lines ``start`` to ``stop`` as an Arrow array, a view of the file.

        With ``shift`` each begins and ends so many bytes later, but none after the file's end.
        """
        if not shift:
            return self._array[start:stop]
        offsets = np.minimum(self.offsets[start : stop + 1] + shift, len(self.bytes))
        return _binary_array(offsets, self._map)

    def span(self, start: int, stop: int) -> memoryview:
        """Return the bytes of lines ``start`` to ``stop``, a view of the file."""
        return memoryview(self._map)[int(self.offsets[start]) : int(self.offsets[stop])]

    def span_for_arrow(self, start: int, stop: int) -> memoryview:
        """Return the bytes of lines that Arrow may parse.

        Its parser copies bytes that are not UTF-8 into a Parquet file that nobody can read, and
        lines that are nested 30,000 deep end the process by a stack overflow.

        Raises:
            SampleError: A line is not UTF-8, or nested too deep.
        """
        import pyarrow as pa

        try:
            self.block(start, stop).view(pa.large_string()).validate(full=True)
        except pa.ArrowInvalid:
            for row in range(start, stop):
                self._check_text(row)
        lengths = np.diff(self.offsets[start : stop + 1])
        # A deeper line is longer: it closes what it opens, or Arrow reports it as cut short.
        for long in np.flatnonzero(lengths > 2 * DEEPEST).tolist():
            line = self[start + long]
            # Few lines have so many brackets, and in most of them they are side by side.
            is_suspect = line.count(b"[") + line.count(b"{") > DEEPEST
            if is_suspect and _nesting(line) > DEEPEST:
                reason = f"nested more than {DEEPEST} deep"
                raise SampleError.at(self.path, self.number(start + long), reason)
        return self.span(start, stop)

    def _check_text(self, row: int) -> None:
        try:
            self[row].decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error.reason} at byte {error.start + 1}"
            raise SampleError.at(self.path, self.number(row), reason) from error

    def over_blocks(self, work: Callable[[int, int], T]) -> Iterator[T]:
        """Yield ``work(start, stop)`` for blocks of lines, done in threads, in order."""
        import pyarrow as pa

        def one(start: int) -> T:
            stop = min(start + size, len(self))
            try:
                return work(start, stop)
            finally:
                self._forget(int(self.offsets[start]), int(self.offsets[stop]))

        size = max(1, min(_CHECK, 16 * _SCAN * len(self) // len(self.bytes)))
        logged = time.monotonic()
        with ThreadPoolExecutor(num_threads()) as executor:
            for number, result in enumerate(executor.map(one, range(0, len(self), size))):
                if time.monotonic() - logged > LOG_EVERY_S:
                    logged = time.monotonic()
                    _log.info("%s: %d of %d samples read", self.path, number * size, len(self))
                yield result
        # Arrow would keep some 100 MB for its next tables, which a writer never makes.
        pa.default_memory_pool().release_unused()

    def copy_to(
        self, descriptor: int, rows: range, count: Callable[[int], None] = lambda num_bytes: None
    ) -> None:
        """Append lines to a file; ``count`` is called with the bytes as they are copied."""
        start, stop = (int(self.offsets[row]) for row in (rows.start, rows.stop))
        while start < stop:
            num = self._copy(descriptor, start, min(stop - start, _COPY))
            if num == 0:
                raise OSError(errno.EIO, f"{self.path} became shorter while it was read")
            start += num
            count(num)

    def _copy(self, descriptor: int, start: int, num_bytes: int) -> int:
        """Copy inside the kernel if both file systems can, else through the mapping."""
        if hasattr(os, "copy_file_range"):  # not on macOS
            try:
                return os.copy_file_range(self._file.fileno(), descriptor, num_bytes, start)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
        write_all(descriptor, memoryview(self._map)[start : start + num_bytes])
        self._forget(start, start + num_bytes)
        return num_bytes

    def pieces(self, rows: Rows) -> Iterator[memoryview]:
        """Yield the bytes of ``rows``, in that order, piece by piece.

        Lines in ascending order are taken straight from the file. Others are taken a window at a
        time: first in ascending order, so that memory is freed behind a walk through the file, then
        from there in the order wanted. Windows grow with the pool, so that a large one needs no
        more walks than a small one, and no more time a line. (Random access to 5 GB with little of
        it resident took 4.5 to 7.6 CPU-µs a line. Construction, reading included, took 1.4 a line
        written of 1 million samples, in windows of 7 %, and 3.1 of 10 million, in windows of 4 %,
        on two loaded cores.)
        """
        if isinstance(rows, range):
            step = max(1, _SCAN * len(self) // len(self.bytes))
            for start in range(rows.start, rows.stop, step):
                stop = min(start + step, rows.stop)
                yield self.span(start, stop)
                self._forget(int(self.offsets[start]), int(self.offsets[stop]))
        elif len(self.bytes) <= _SMALL or bool(np.all(rows[1:] >= rows[:-1])):
            yield from self._walk(rows)
        else:
            limit = (_WINDOW + 32 * len(self)) // num_threads()
            # One buffer for all windows; only a single longer line needs a larger one.
            store = np.empty(limit + (1 << 20), dtype=np.uint8)
            for window, lengths in self._windows(rows, limit):
                total = int(lengths.sum())
                store = store if total <= len(store) else np.empty(total, dtype=np.uint8)
                yield from self._reorder(window, lengths, store)

    def _windows(self, rows: Indices, limit: int) -> Iterator[tuple[Indices, Indices]]:
        """Yield rows and their lengths, at most ``limit`` bytes at a time, but at least one row."""
        most = max(1, limit * len(self) // len(self.bytes))
        start = 0
        while start < len(rows):
            window = rows[start : start + most]
            lengths = self.offsets[window + 1] - self.offsets[window]
            size = max(1, int(np.searchsorted(np.cumsum(lengths), limit, side="right")))
            yield window[:size], lengths[:size]
            start += size

    def _reorder(self, window: Indices, lengths: Indices, store: Indices) -> Iterator[memoryview]:
        order = np.argsort(window)
        offsets = np.zeros(len(window) + 1, dtype=np.int64)
        np.cumsum(lengths[order], out=offsets[1:])
        end = 0
        for piece in self._walk(window[order]):
            store[end : end + len(piece)] = piece
            end += len(piece)
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        array = _binary_array(offsets, store)
        for start in range(0, len(inverse), _TAKE_WINDOW):
            yield _taken(array, inverse[start : start + _TAKE_WINDOW])

    def _walk(self, rows: Indices) -> Iterator[memoryview]:
        step = max(1, min(_TAKE, (16 << 20) * len(self) // len(self.bytes)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            yield _taken(self._array, part)
            self._forget(int(self.offsets[part[0]]), int(self.offsets[part[-1] + 1]))

    def _find_lines(self) -> tuple[Indices, bool]:
        """Return where lines begin and the last one ends, and if all are plain.

        Plain lines are ``{…}`` without control characters, and the last one has its end.
        """

        def ends(start: int) -> tuple[Indices, bool]:
            # One comparison finds line ends and all other control characters together.
            found = np.flatnonzero(self.bytes[start : start + _SCAN] < ord(" ")) + start
            is_end = self.bytes[found] == ord("\n")
            has_others = not is_end.all()  # a tab, a carriage return, garbage
            found = found[is_end] if has_others else found
            after = found[: np.searchsorted(found, len(self.bytes) - 1)] + 1
            closed = (self.bytes[found - 1] == ord("}")).all()
            is_plain = bool(not has_others and closed and (self.bytes[after] == ord("{")).all())
            self._forget(start, start + _SCAN)
            return found + 1, is_plain

        with ThreadPoolExecutor(num_threads()) as executor:
            found, plain = zip(*executor.map(ends, range(0, len(self.bytes), _SCAN)), strict=True)
        is_cut = self.bytes[-1] != ord("\n")
        end = np.full(int(is_cut), len(self.bytes), dtype=np.int64)
        is_plain = all(plain) and self.bytes[0] == ord("{") and not is_cut
        return np.concatenate([np.zeros(1, dtype=np.int64), *found, end]), is_plain

    def _forget(self, start: int, stop: int) -> None:
        """Free the memory of a part of the mapping; the file stays in the page cache."""
        if len(self.bytes) <= _SMALL:
            return
        start -= start % _FAULT  # the kernel maps neighbours too
        stop = min(stop + _FAULT, len(self.bytes))
        if stop > start:
            self._map.madvise(mmap.MADV_DONTNEED, start, stop - start)


def _nesting(line: bytes) -> int:
    """Return how deep a line of JSON is nested."""
    # The pairs [ ] and { } differ in the same bit.
    codes = np.frombuffer(_STRING.sub(b"", line), dtype=np.uint8) | 0x20
    steps = (codes == ord("{")).astype(np.int64) - (codes == ord("}"))
    return int(np.cumsum(steps).max(initial=0))


def scratch_file(folder: Path) -> BinaryIO:
    """Open a file without a name in a folder; it is gone when it is closed."""
    return tempfile.TemporaryFile(dir=folder)


def _binary_array(offsets: Indices, data: Any) -> Any:
    import pyarrow as pa

    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def as_one(piece: Any) -> Any:
    """Return many bytes as an Arrow array with one value."""
    return _binary_array(np.array([0, len(piece)]), piece)


def data_of(array: Any) -> memoryview:
    """Return the values of a new Arrow array of binary values, side by side, without a copy."""
    _, offsets, data = array.buffers()
    return memoryview(data).cast("B")[: int(np.frombuffer(offsets, dtype=np.int64)[len(array)])]


def _taken(array: Any, rows: Indices) -> memoryview:
    """Return the values of ``rows``, side by side."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # The system's allocator frees memory at once, Arrow's own some 100 MB later.
    return data_of(pc.take(array, pa.array(rows), memory_pool=pa.system_memory_pool()))
