"""Exact counts of more different things than memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.words import Counts, Hashes

_PART_SIZE = 1 << 22
_BLOCK = 1 << 20


class HashCounts:
    """Exact counts of many 64-bit hashes, in at most about 300 MB of memory.

    The hashes wait in a temporary file, 8 bytes each. They are counted in several passes over the
    file, each for a part of the range of hashes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.total = 0

    def add(self, hashes: Hashes) -> None:
        """Add hashes; one may come several times."""
        hashes.tofile(self._file)
        self.total += len(hashes)

    @property
    def num_parts(self) -> int:
        """Number of parts of the range, so that the different hashes of one fit in memory."""
        return self.total // _PART_SIZE + 1

    def counts(self, num_parts: int | None = None) -> Iterator[tuple[Hashes, Counts]]:
        """Yield the different hashes in ascending order with their counts, part by part."""
        num_parts = num_parts or self.num_parts
        for part in range(num_parts):
            # Counted block by block first: a frequent word such as "the" would fill a part alone.
            yield _merged([_counted(block) for block in self._blocks(part, num_parts)])

    def summary(self) -> tuple[int, float]:
        """Return the number of different hashes and the entropy of their distribution in bits."""
        num_distinct, weighted = 0, 0.0
        for values, counts in self.counts():
            num_distinct += len(values)
            weighted += float((counts * np.log2(counts)).sum())
        entropy = np.log2(self.total) - weighted / self.total if self.total else 0.0
        return num_distinct, max(float(entropy), 0.0)

    def _blocks(self, part: int, num_parts: int) -> Iterator[Hashes]:
        self._file.seek(0)
        while len(block := np.fromfile(self._file, dtype=np.uint64, count=_BLOCK)):
            # The upper half of a hash, scaled to the number of parts, names its part.
            parts = (block >> np.uint64(32)) * np.uint64(num_parts) >> np.uint64(32)
            yield block[parts == part]


@contextmanager
def open_counts(folder: Path, number: int) -> Iterator[list[HashCounts]]:
    """Open several empty counts, whose temporary files are in ``folder``."""
    with ExitStack() as stack:
        yield [HashCounts(stack.enter_context(TemporaryFile(dir=folder))) for _ in range(number)]


def _counted(hashes: Hashes) -> tuple[Hashes, NDArray[np.uint32]]:
    values, counts = np.unique(hashes, return_counts=True)
    return values, counts.astype(np.uint32)


def _merged(blocks: Sequence[tuple[Hashes, NDArray[np.uint32]]]) -> tuple[Hashes, Counts]:
    if not blocks:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    together, counts = map(np.concatenate, zip(*blocks, strict=True))
    order = np.argsort(together, kind="stable")
    together = together[order]
    # The complement differs from the first hash, which therefore always starts a run.
    starts = np.flatnonzero(np.diff(together, prepend=~together[:1]))
    if not len(starts):
        return together, np.empty(0, np.int64)
    return together[starts], np.add.reduceat(counts[order], starts, dtype=np.int64)
