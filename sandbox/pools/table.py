"""Parquet pools: their rows in any order, with their types as they are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from sandbox.pools.lines import Rows

_TAKE = 8192


class Table:
    """The rows of an Arrow file, mapped into memory.

    Args:
        file: The file, uncompressed; kept open.
        name: What messages call it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        import pyarrow as pa

        self.name = name
        self._file = file
        data = pa.py_buffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        reader = pa.ipc.open_file(pa.BufferReader(data))
        self.schema = reader.schema
        self.batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self.batches])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.batches else 0

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """The rows, in that order, as Arrow tables of bounded size."""
        wanted = np.asarray(rows)
        for start in range(0, len(wanted), _TAKE):
            yield self._taken(wanted[start : start + _TAKE])

    def _taken(self, rows: Any) -> Any:
        import pyarrow as pa

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
