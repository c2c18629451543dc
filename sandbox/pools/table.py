"""Parquet pools: their rows in any order, with their types as they are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sandbox.pools.lines import Rows

_TAKE = 8192


class Table:
    """The rows of an Arrow file, mapped into memory.

    Args:
        file: The file, uncompressed and with at least one batch; kept open.
        path: The pool that it was made from, for messages.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        self._file = file
        data = pa.py_buffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        reader = pa.ipc.open_file(pa.BufferReader(data))
        self.schema = reader.schema
        self.batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self.batches])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def number(self, row: int) -> int:
        """Return the number of a row for messages, from 1."""
        return row + 1

    def samples(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield all rows; of ``columns`` those that there are."""
        for batch in self.batches:
            wanted = batch
            if columns is not None:
                wanted = batch.select([name for name in columns if name in batch.schema.names])
            # A first look at a few rows must not convert a whole batch.
            for start in range(0, wanted.num_rows, 256):
                yield from wanted[start : start + 256].to_pylist()

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """Yield the rows, in that order, as Arrow tables of bounded size."""
        wanted = np.asarray(rows)
        for start in range(0, len(wanted), _TAKE):
            yield self._taken(wanted[start : start + _TAKE])

    def _taken(self, rows: Any) -> Any:
        import pyarrow as pa

        # Batch by batch in ascending order, then back: one take over all batches would copy them.
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        numbers = np.searchsorted(self._ends, ascending, side="right")
        parts = []
        for number in np.unique(numbers):
            batch = self.batches[number]
            first = self._ends[number] - batch.num_rows
            parts.append(batch.take(pa.array(ascending[numbers == number] - first)))
        return pa.Table.from_batches(parts, self.schema).combine_chunks().take(pa.array(inverse))
