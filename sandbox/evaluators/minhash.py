"""MinHash with locality-sensitive hashing: similar sets without comparing every pair."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.words import Counts, Hashes, mixed

_BLOCK_ROWS = 1 << 14
_PAIRS_AT_ONCE = 4096

Rows = NDArray[np.int64]
Signatures = NDArray[np.uint32]


class Pair(NamedTuple):
    """Two similar sets, by their numbers; ``first`` is the smaller one."""

    first: int
    second: int
    similarity: float


def bands_for(threshold: float, num_permutations: int) -> tuple[int, int]:
    """Choose the number of bands and of rows per band for a similarity threshold.

    Two sets of Jaccard similarity s share a band with probability 1 - (1 - s^rows)^bands. The
    choice minimises false positives (the integral of that probability below the threshold) plus
    false negatives (the integral of its complement above the threshold).

    Source: ``optimal_param`` of Data-Juicer's document_minhash_deduplicator (from datasketch).
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

    Permutation k of a 64-bit hash h is (a_k h + b_k) modulo 2⁶⁴; the upper 32 bits of the minimum
    are kept.

    Args:
        num_permutations: Length of a signature; the standard error of an estimate is at most
            0.5 / √num_permutations.
        seed: Seed of a and b.
    """

    def __init__(self, num_permutations: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._factors = rng.integers(0, 1 << 64, num_permutations, dtype=np.uint64) | np.uint64(1)
        self._offsets = rng.integers(0, 1 << 64, num_permutations, dtype=np.uint64)

    def signatures(self, hashes: Hashes, lengths: Counts) -> Signatures:
        """Return the minima, one row per set.

        Args:
            hashes: Elements of all sets in a row; repeats within a set make no difference.
            lengths: Number of elements of each set, at least 1.
        """
        starts = np.cumsum(lengths) - lengths
        signatures = np.empty((len(lengths), len(self._factors)), np.uint32)
        # One permutation at a time: all at once would take num_permutations times the memory.
        permuted = np.empty_like(hashes)
        for column, (factor, offset) in enumerate(zip(self._factors, self._offsets, strict=True)):
            np.multiply(hashes, factor, out=permuted)
            np.add(permuted, offset, out=permuted)
            signatures[:, column] = np.minimum.reduceat(permuted, starts) >> np.uint64(32)
        return signatures


def band_keys(signatures: Signatures, num_bands: int, num_rows: int) -> Hashes:
    """Hash every band of every signature to one number; one row per set."""
    bands = signatures[:, : num_bands * num_rows].reshape(len(signatures), num_bands, num_rows)
    keys = np.zeros(bands.shape[:2], np.uint64)
    for row in range(num_rows):
        keys = mixed(keys + bands[:, :, row])
    return keys


class RowFile:
    """Rows of ``width`` numbers in a temporary file, read by column or a few rows at a time."""

    def __init__(self, file: IO[bytes], dtype: Literal["uint32", "uint64"], width: int) -> None:
        self._file = file
        self._dtype = np.dtype(dtype)
        self._width = width
        self.num_rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        rows.tofile(self._file)
        self.num_rows += len(rows)

    def column(self, number: int) -> NDArray[Any]:
        """Return one number of every row."""
        self._file.seek(0)
        column = np.empty(self.num_rows, self._dtype)
        for start in range(0, self.num_rows, _BLOCK_ROWS):
            block = np.fromfile(self._file, dtype=self._dtype, count=_BLOCK_ROWS * self._width)
            column[start : start + _BLOCK_ROWS] = block.reshape(-1, self._width)[:, number]
        return column

    def rows(self, numbers: Rows) -> NDArray[Any]:
        """Return the rows of these numbers, in this order."""
        self._file.flush()  # pread does not see the buffer of the file object
        rows = np.empty((len(numbers), self._width), self._dtype)
        # Not memory-mapped: for every row the system would read 64 kB ahead into our memory.
        for row, number in zip(rows, numbers.tolist(), strict=True):
            content = os.pread(self._file.fileno(), row.nbytes, number * row.nbytes)
            row[:] = np.frombuffer(content, self._dtype)
        return rows


def clusters(
    keys: RowFile, signatures: RowFile, num_bands: int, threshold: float
) -> tuple[list[Rows], list[Pair]]:
    """Connect sets that share a band and reach the threshold in estimated similarity.

    Within a bucket of a band, a set is compared with the first set and with the previous one,
    unless they are connected already: a bucket of n sets costs 2n comparisons, not n²/2. The order
    within a bucket is that of a hash, so that clusters do not depend on the order of the sets.

    Returns:
        The sets of every cluster of two or more, the largest clusters first, and the pairs that
        made the connections.
    """
    # Union-find in one array: scipy's DisjointSet keeps Python objects, 100 times the memory.
    parent = np.arange(keys.num_rows, dtype=np.int64)
    pairs: list[Pair] = []
    ranks = sum(map(keys.column, range(num_bands)), np.zeros(keys.num_rows, np.uint64))
    for band in range(num_bands):
        for first, second in _candidates(keys.column(band), ranks):
            # Most pairs of a later band are connected already; reading their signatures is slow.
            roots = _roots(parent)
            apart = roots[first] != roots[second]
            for pair in _similar(first[apart], second[apart], signatures, threshold):
                ends = {_root(parent, pair.first), _root(parent, pair.second)}
                if len(ends) == 2:
                    parent[max(ends)] = min(ends)
                    pairs.append(pair)
    return _members(_roots(parent)), pairs


def _members(roots: Rows) -> list[Rows]:
    _, number, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    found = np.flatnonzero(sizes[number] > 1)
    # Sorted by cluster, and within a cluster still by number.
    found = found[np.argsort(roots[found], kind="stable")]
    groups = np.split(found, np.flatnonzero(np.diff(roots[found])) + 1) if len(found) else []
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _candidates(column: Hashes, ranks: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """Pair rows of equal keys: with the first row of their bucket, then with the previous one."""
    order = np.lexsort((ranks, column))
    in_order = column[order]
    same = in_order[1:] == in_order[:-1]
    position = np.arange(len(column))
    is_new = np.concatenate([[True], ~same])
    start = np.maximum.accumulate(np.where(is_new, position, 0))
    yield order[start[1:][same]], order[1:][same]
    # For the second row of a bucket the previous row is the first, which is compared already.
    third = same & (start[1:] < position[:-1])
    yield order[:-1][third], order[1:][third]


def _similar(first: Rows, second: Rows, signatures: RowFile, threshold: float) -> Iterator[Pair]:
    """Yield those of the pairs that reach the threshold."""
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        equal = signatures.rows(first[some]) == signatures.rows(second[some])
        similarity = equal.mean(axis=1)
        for place in np.flatnonzero(similarity >= threshold):
            ends = int(first[start + place]), int(second[start + place])
            yield Pair(min(ends), max(ends), float(similarity[place]))


def _root(parent: Rows, node: int) -> int:
    """Return the first set of the cluster of one set, and halve the path to it."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = int(parent[node])
    return node


def _roots(parent: Rows) -> Rows:
    """Return the first set of the cluster of every set; ``parent`` then names it directly."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return above
        parent[:] = above
