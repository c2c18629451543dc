"""New pools on disk: each is whole or not there."""

from __future__ import annotations

import gzip
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sandbox.pools.lines import LOG_EVERY_S, Lines, Rows, num_threads
from sandbox.samples import SampleError, require
from sandbox.system.files import write_all

_PARTIAL = ".part"
_LONGEST_NAME = 255  # bytes, on every file system in use
_log = logging.getLogger(__name__)


class Source(Protocol):
    """Samples that new pools are made of."""

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """Yield the samples ``rows``: bytes of JSON Lines, or Arrow tables."""


Parts = Sequence[tuple[Source, Rows]]


@dataclass(frozen=True)
class NewPool:
    """A pool to write.

    Args:
        path: Its file; the extension is its format.
        parts: Its samples: rows of pools, one after another.
    """

    path: Path
    parts: Parts


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
            # A full disk must not be tried once more for every pool that waits.
            executor.shutdown(cancel_futures=True)
            raise


def _write(pool: NewPool, progress: _Progress) -> Path:
    unfinished = pool.path.with_name(pool.path.name + _PARTIAL)
    try:
        _write_parts(unfinished, pool, progress)
        unfinished.replace(pool.path)
    except OSError as error:
        if error.filename is not None:
            raise
        reason = f"cannot write data pool: {error.strerror}"
        raise OSError(error.errno, reason, str(pool.path)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return pool.path


def _write_parts(path: Path, pool: NewPool, progress: _Progress) -> None:
    if pool.path.suffix == ".parquet":
        _write_parquet(path, pool, progress)
        return
    with path.open("wb") as file:
        if pool.path.suffix == ".gz":
            # Without name and time, equal pools are equal files.
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                _write_pieces(packed.write, pool.parts, progress)
        elif pool.path.suffix == ".zst":
            compressor = require("zstandard", pool.path).ZstdCompressor()
            with compressor.stream_writer(file, closefd=False) as packed:
                _write_pieces(packed.write, pool.parts, progress)
        else:
            _write_raw(file.fileno(), pool.parts, progress)


def _write_pieces(write: Callable[[Any], Any], parts: Parts, progress: _Progress) -> None:
    for source, rows in parts:
        for piece in source.pieces(rows):
            write(piece)
            progress.add(len(piece))


def _write_raw(descriptor: int, parts: Parts, progress: _Progress) -> None:
    for source, rows in parts:
        if isinstance(source, Lines) and isinstance(rows, range):
            source.copy_to(descriptor, rows, progress.add)
        else:
            _write_pieces(partial(write_all, descriptor), [(source, rows)], progress)


def _write_parquet(path: Path, pool: NewPool, progress: _Progress) -> None:
    """Write Arrow tables; the first one's schema is the file's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = (table for source, rows in pool.parts for table in source.pieces(rows))
    first = next(tables)
    try:
        with pq.ParquetWriter(path, first.schema) as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)
                progress.add(table.nbytes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        # Such as a mapping without keys.
        reason = f"cannot be written as Parquet: {error}"
        raise SampleError.at(pool.path, None, reason) from error


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
