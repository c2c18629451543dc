"""Counting more different things than memory holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.words import Counts, Hashes

_PART_SIZE = 1 << 22
_BLOCK = 1 << 20


class HashCounts:
    """Counts how often each of many 64-bit hashes occurs, exactly, in at most about 300 MB.

    The hashes wait in a temporary file, 8 bytes each, and are counted in several passes over it, each
    for a part of their range. Exact but for two things of one hash.

    Args:
        folder: Where the temporary file is; it vanishes with the process whatever happens.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by __exit__
        self.total = 0

    def __enter__(self) -> HashCounts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, hashes: Hashes) -> None:
        """Count these."""
        hashes.tofile(self._file)
        self.total += len(hashes)

    @property
    def num_parts(self) -> int:
        """Parts of the range that fit in memory one after another."""
        return self.total // _PART_SIZE + 1

    def counts(self, num_parts: int | None = None) -> Iterator[tuple[Hashes, Counts]]:
        """Different hashes in ascending order and how often each occurs, part by part."""
        num_parts = num_parts or self.num_parts
        for part in range(num_parts):
            # Counted block by block first: a word such as "the" would fill a part by itself.
            blocks = [_counted(block) for block in self._blocks(part, num_parts)]
            yield _merged([values for values, _ in blocks], [counts for _, counts in blocks])

    def _blocks(self, part: int, num_parts: int) -> Iterator[Hashes]:
        self._file.seek(0)
        while len(block := np.fromfile(self._file, dtype=np.uint64, count=_BLOCK)):
            yield block[(block >> np.uint64(32)) * np.uint64(num_parts) >> np.uint64(32) == part]


def _counted(hashes: Hashes) -> tuple[Hashes, NDArray[np.uint32]]:
    values, counts = np.unique(hashes, return_counts=True)
    return values, counts.astype(np.uint32)


def _merged(
    values: Sequence[Hashes], counts: Sequence[NDArray[np.uint32]]
) -> tuple[Hashes, Counts]:
    together = np.concatenate([np.empty(0, np.uint64), *values])
    order = np.argsort(together, kind="stable")
    together = together[order]
    starts = np.flatnonzero(np.diff(together, prepend=~together[:1]))
    if not len(starts):
        return together, np.empty(0, np.int64)
    return together[starts], np.add.reduceat(np.concatenate(counts)[order], starts, dtype=np.int64)


def summarize(hashes: HashCounts) -> tuple[int, float]:
    """How many different hashes there are, and the entropy of their distribution in bits."""
    num_distinct, weighted = 0, 0.0
    for values, counts in hashes.counts():
        num_distinct += len(values)
        weighted += float((counts * np.log2(counts)).sum())
    entropy = np.log2(hashes.total) - weighted / hashes.total if hashes.total else 0.0
    return num_distinct, max(float(entropy), 0.0)
