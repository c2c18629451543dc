"""MinHash with locality-sensitive hashing: pairs of sets that are probably similar, without comparing all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.words import Counts, Hashes, mixed

_BLOCK_ROWS = 1 << 14
_PAIRS_AT_ONCE = 4096

Rows = NDArray[np.int64]


def bands_for(threshold: float, num_permutations: int) -> tuple[int, int]:
    """Bands, and rows a band, with the least false positives plus false negatives at a threshold.

    Two sets of Jaccard similarity s meet in a band with probability 1 - (1 - s^rows)^bands; the two
    errors are its integral below the threshold and the integral of the rest above it.

    Source: ``optimal_param`` of Data-Juicer's document_minhash_deduplicator (datasketch's).
    """
    similarity = (np.arange(1000) + 0.5) / 1000
    best = (np.inf, 1, 1)
    for rows in range(1, num_permutations + 1):
        bands = np.arange(1, num_permutations // rows + 1)
        meet = 1 - (1 - similarity**rows) ** bands[:, None]
        errors = np.where(similarity < threshold, meet, 1 - meet).mean(axis=1)
        least = int(errors.argmin())
        best = min(best, (float(errors[least]), int(bands[least]), rows))
    return best[1], best[2]


class MinHash:
    """Random permutations of hashes: the share of equal minima estimates the Jaccard similarity.

    Permutation k of a 64-bit hash h is (a_k h + b_k) modulo 2⁶⁴; of the minimum, 32 bits are kept.

    Args:
        num_permutations: How many; the estimate's standard error is at most 0.5 / √num_permutations.
        seed: Seed of a and b.
    """

    def __init__(self, num_permutations: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._factors = rng.integers(0, 1 << 64, num_permutations, dtype=np.uint64) | np.uint64(1)
        self._offsets = rng.integers(0, 1 << 64, num_permutations, dtype=np.uint64)

    def signatures(self, hashes: Hashes, lengths: Counts) -> NDArray[np.uint32]:
        """The minima, a row a set; no set may be empty.

        Args:
            hashes: Elements of all sets in a row; one that occurs again in its set makes no difference.
            lengths: How many belong to each set.
        """
        starts = np.cumsum(lengths) - lengths
        signatures = np.empty((len(lengths), len(self._factors)), np.uint32)
        permuted = np.empty_like(hashes)
        for column, (factor, offset) in enumerate(zip(self._factors, self._offsets, strict=True)):
            np.multiply(hashes, factor, out=permuted)
            np.add(permuted, offset, out=permuted)
            signatures[:, column] = np.minimum.reduceat(permuted, starts) >> np.uint64(32)
        return signatures


def band_keys(signatures: NDArray[np.uint32], num_bands: int, num_rows: int) -> Hashes:
    """One number for each band of each signature, a row a set."""
    bands = signatures[:, : num_bands * num_rows].reshape(len(signatures), num_bands, num_rows)
    keys = np.zeros(bands.shape[:2], np.uint64)
    for row in range(num_rows):
        keys = mixed(keys + bands[:, :, row])
    return keys


class RowFile:
    """Rows of numbers in a temporary file: appended, then read by column or a few rows at a time."""

    def __init__(self, folder: Path, dtype: Any, width: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by __exit__
        self._dtype = np.dtype(dtype)
        self._width = width
        self.num_rows = 0

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        rows.tofile(self._file)
        self.num_rows += len(rows)

    def column(self, number: int) -> NDArray[Any]:
        """One number of every row."""
        self._file.seek(0)
        column = np.empty(self.num_rows, self._dtype)
        for start in range(0, self.num_rows, _BLOCK_ROWS):
            block = np.fromfile(self._file, dtype=self._dtype, count=_BLOCK_ROWS * self._width)
            column[start : start + _BLOCK_ROWS] = block.reshape(-1, self._width)[:, number]
        return column

    def rows(self, numbers: Rows) -> NDArray[Any]:
        """Some rows."""
        self._file.flush()
        rows = np.empty((len(numbers), self._width), self._dtype)
        # Not mapped: for every row the system would bring in 64 kB, as memory of this process.
        for row, number in zip(rows, numbers.tolist(), strict=True):
            os.preadv(self._file.fileno(), [row], number * row.nbytes)
        return rows


def clusters(
    keys: RowFile, signatures: RowFile, num_bands: int, threshold: float
) -> tuple[Rows, list[tuple[int, int, float]]]:
    """Connect sets that share a band and whose estimated similarity reaches the threshold.

    Within a bucket of a band a set is compared with the bucket's first set and with the one before it,
    unless they are connected already: a bucket of n sets costs 2n comparisons, not n²/2.

    Returns:
        For every set the first set of its cluster, and the pairs that made the connections, each with
        its estimated similarity.
    """
    parent = np.arange(keys.num_rows, dtype=np.int64)
    pairs: list[tuple[int, int, float]] = []
    for band in range(num_bands):
        for first, second in _candidates(keys.column(band)):
            roots = _roots(parent)
            apart = roots[first] != roots[second]
            for one, other, similarity in _similar(
                first[apart], second[apart], signatures, threshold
            ):
                if _connect(parent, one, other):
                    pairs.append((one, other, similarity))
    return _roots(parent), pairs


def _candidates(column: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows with an equal key: with the first of their bucket, then with the one before."""
    order = np.argsort(column, kind="stable")
    in_order = column[order]
    same = in_order[1:] == in_order[:-1]
    position = np.arange(len(column))
    new = np.concatenate([[True], ~same])
    start = np.maximum.accumulate(np.where(new, position, 0))
    yield order[start[1:][same]], order[1:][same]
    third = same & (start[1:] < position[:-1])
    yield order[:-1][third], order[1:][third]


def _similar(
    first: Rows, second: Rows, signatures: RowFile, threshold: float
) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        equal = signatures.rows(first[some]) == signatures.rows(second[some])
        similarity = equal.mean(axis=1)
        for pair in np.flatnonzero(similarity >= threshold) + start:
            yield int(first[pair]), int(second[pair]), float(similarity[pair - start])


def _connect(parent: Rows, one: int, other: int) -> bool:
    """Put two sets into one cluster; whether they were in two."""
    ends = []
    for node in (one, other):
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        ends.append(node)
    parent[max(ends)] = min(ends)
    return ends[0] != ends[1]


def _roots(parent: Rows) -> Rows:
    """The first set of every set's cluster; ``parent`` then points straight to it."""
    while not np.array_equal(above := parent[parent], parent):
        parent[:] = above
    return parent.copy()
