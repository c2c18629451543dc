"""New pools on disk: each is whole or not there."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sandbox.pools.lines import LOG_EVERY_S, Lines, Rows, num_threads, write_all
from sandbox.samples import SampleError, require

_PARTIAL = ".part"
_LONGEST_NAME = 255  # bytes, on every file system in use
_log = logging.getLogger(__name__)


class Source(Protocol):
    """Samples that new pools are made of."""

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """Yield the samples ``rows``: bytes of JSON Lines, or Arrow tables."""


@dataclass(frozen=True)
class NewPool:
    """A pool to write.

    Args:
        path: Its file; the extension is its format.
        parts: Its samples: rows of pools, one after another.
    """

    path: Path
    parts: Sequence[tuple[Source, Rows]]


def write_pools(pools: Sequence[NewPool], num_at_once: int | None = None) -> list[Path]:
    """Write pools, several at once (one a core), each under a temporary name until it is whole.

    Raises:
        ValueError: A pool's name is too long for a file.
        OSError: A pool cannot be written; names it, and nothing of it stays.
        ModuleNotFoundError: The package that writes the format is not installed.
    """
    for pool in pools:
        if len(os.fsencode(pool.path.name + _PARTIAL)) > _LONGEST_NAME:
            raise ValueError(f"{pool.path}: the name is too long for a file")
    progress = _Progress(len(pools))
    with ThreadPoolExecutor(num_at_once or num_threads()) as executor:
        running = [executor.submit(_write, pool, progress) for pool in pools]
        try:
            return [future.result() for future in running]
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


def _write(pool: NewPool, progress: _Progress) -> Path:
    partial = pool.path.with_name(pool.path.name + _PARTIAL)
    try:
        with _sink(partial, pool.path.suffix, progress) as sink:
            for source, rows in pool.parts:
                sink.add(source, rows)
        partial.replace(pool.path)
    except OSError as error:
        if error.filename is None:
            raise OSError(
                error.errno, f"cannot write data pool: {error.strerror}", str(pool.path)
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return pool.path


class _RawSink:
    """JSON Lines as they are."""

    def __init__(self, file: BinaryIO, progress: _Progress) -> None:
        self._descriptor = file.fileno()
        self._progress = progress

    def add(self, source: Source, rows: Rows) -> None:
        if isinstance(source, Lines) and isinstance(rows, range):
            source.copy_to(self._descriptor, rows, self._progress.add)
            return
        for piece in source.pieces(rows):
            write_all(self._descriptor, piece)
            self._progress.add(len(piece))


class _CompressedSink:
    """JSON Lines through a compressor."""

    def __init__(self, file: Any, progress: _Progress) -> None:
        self._file = file
        self._progress = progress

    def add(self, source: Source, rows: Rows) -> None:
        for piece in source.pieces(rows):
            self._file.write(piece)
            self._progress.add(len(piece))


class _ParquetSink:
    """Arrow tables; the first one's schema is the file's."""

    def __init__(self, path: Path, progress: _Progress) -> None:
        self._path = path
        self._progress = progress
        self._writer: Any = None

    def add(self, source: Source, rows: Rows) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for table in source.pieces(rows):
            try:
                if self._writer is None:
                    self._writer = pq.ParquetWriter(self._path, table.schema)
                self._writer.write_table(table)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                # Such as a mapping without keys.
                reason = f"cannot be written as Parquet: {error}"
                raise SampleError.at(self._path.with_suffix(""), None, reason) from error
            self._progress.add(table.nbytes)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def _sink(path: Path, suffix: str, progress: _Progress) -> Iterator[Any]:
    if suffix == ".parquet":
        with contextlib.closing(_ParquetSink(path, progress)) as sink:
            yield sink
        return
    with path.open("wb") as file:
        if suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield _CompressedSink(packed, progress)
        elif suffix == ".zst":
            zstandard = require("zstandard", path.with_suffix(""))
            with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
                yield _CompressedSink(packed, progress)
        else:
            yield _RawSink(file, progress)


class _Progress:
    """A line in the log every few seconds of a long write."""

    def __init__(self, num_pools: int) -> None:
        self._num_pools = num_pools
        self._num_bytes = 0
        self._logged = time.monotonic()
        self._lock = threading.Lock()

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self._num_bytes += num_bytes
            if time.monotonic() - self._logged > LOG_EVERY_S:
                self._logged = time.monotonic()
                _log.info(
                    "writing %d pools: %.1f GB so far", self._num_pools, self._num_bytes / 1e9
                )
