"""Equality of samples in several pools."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sandbox.pools.lines import Lines, num_threads
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table
from sandbox.samples import SampleError

_PART_BITS = 6  # 64 parts: of 100 million samples each has 25 MB of hashes


def hashes(pool: Lines | Table, key: str | None) -> Indices:
    """Return 128-bit hashes of all samples, or of their values under ``key``, as two columns.

    xxHash's XXH3 of the line as it is (without its line end), of a Parquet row as JSON. Among 100
    million different samples the chance of any two equal hashes is below 10⁻²².

    Raises:
        SampleError: A sample has no such ``key``.
    """
    import xxhash

    digest = xxhash.xxh3_128_digest
    # Values are compared as JSON with sorted keys: equal ones may be spelled differently.
    if isinstance(pool, Table) or key is not None:
        return _columns(b"".join(map(digest, _identities(pool, key))))

    def of_block(start: int, stop: int) -> bytes:
        data = pool.span(start, stop)
        offsets = (pool.offsets[start : stop + 1] - pool.offsets[start]).tolist()
        return b"".join([digest(data[a : b - 1]) for a, b in itertools.pairwise(offsets)])

    return _columns(b"".join(pool.over_blocks(of_block)))


def pools_of_each(identities: Sequence[Indices]) -> list[Indices]:
    """For every sample of every pool, return the pools that hold it: bit r is set for pool r.

    Part by part, by the first bits of the hashes, in threads: each part fits the processor's cache
    while it is sorted.
    """
    sizes = [len(each) for each in identities]
    both = np.concatenate(identities)
    bits = np.repeat(np.left_shift(1, np.arange(len(sizes), dtype=np.uint16)), sizes)
    members = np.empty_like(bits)
    parts = (both[:, 0] >> (64 - _PART_BITS)).astype(np.uint8)

    def of_part(part: int) -> None:
        rows = np.flatnonzero(parts == part)
        if len(rows):
            members[rows] = _pools_of_equal(both[rows], bits[rows])

    with ThreadPoolExecutor(num_threads()) as executor:
        list(executor.map(of_part, range(1 << _PART_BITS)))
    return np.split(members, np.cumsum(sizes)[:-1])


def _pools_of_equal(identities: Indices, bits: Indices) -> Indices:
    """For every row, return the bits of all rows of its identity."""
    order = np.argsort(identities[:, 0])
    is_new = _changes(identities[order])
    if (is_new & ~_changes(identities[order, :1])).any():  # the first 64 bits are not enough
        order = np.lexsort((identities[:, 1], identities[:, 0]))
        is_new = _changes(identities[order])
    found = np.bitwise_or.reduceat(bits[order], np.flatnonzero(is_new))
    members = np.empty_like(bits)
    members[order] = found[np.cumsum(is_new) - 1]
    return members


def _columns(digests: bytes) -> Indices:
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def _changes(sorted_rows: Indices) -> Indices:
    """Mark the rows that differ from the row before."""
    is_new = np.ones(len(sorted_rows), dtype=bool)
    is_new[1:] = (sorted_rows[1:] != sorted_rows[:-1]).any(axis=1)
    return is_new


def _identities(pool: Lines | Table, key: str | None) -> Iterator[bytes]:
    for row, sample in enumerate(pool.samples()):
        value = sample if key is None else _value(pool, row, sample, key)
        yield json.dumps(value, sort_keys=True, default=str).encode()


def _value(pool: Lines | Table, row: int, sample: dict[str, Any], key: str) -> Any:
    value: Any = sample
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            reason = f"no {key!r}; keys: {', '.join(sample)}"
            raise SampleError.at(pool.path, pool.number(row), reason)
        value = value[part]
    return value
