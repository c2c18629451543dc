"""Which samples of several pools are the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sandbox.pools.lines import Lines
from sandbox.pools.opening import parse
from sandbox.pools.sampling import Indices
from sandbox.pools.table import Table


def hashes(pool: Lines | Table, key: str | None) -> Indices:
    """128-bit hashes of all samples, or of what they have under ``key``, as two columns of 64 bits.

    xxHash's XXH3 of the line as it is (without its line end), of a Parquet row as JSON. Among 100 million
    different samples the chance of any two equal hashes is below 10⁻²².

    Raises:
        ValueError: A sample has no such ``key``.
    """
    import xxhash

    digest = xxhash.xxh3_128_digest
    if isinstance(pool, Table) or key is not None:
        return _columns(b"".join(map(digest, _identities(pool, key))))

    def of_block(start: int, stop: int) -> bytes:
        data = pool.span(start, stop)
        offsets = (pool.offsets[start : stop + 1] - pool.offsets[start]).tolist()
        return b"".join([digest(data[a : b - 1]) for a, b in itertools.pairwise(offsets)])

    return _columns(b"".join(pool.over_blocks(of_block)))


def pools_of_each(identities: Sequence[Indices]) -> list[Indices]:
    """For every sample of every pool, the pools that hold it: bit r stands for pool r."""
    sizes = [len(each) for each in identities]
    both = np.concatenate(identities)
    order = np.argsort(both[:, 0], kind="stable")
    is_new = _changes(both[order])
    if (is_new & ~_changes(both[order, :1])).any():  # the first 64 bits are not enough
        order = np.lexsort((both[:, 1], both[:, 0]))
        is_new = _changes(both[order])
    bits = np.repeat(np.left_shift(1, np.arange(len(sizes), dtype=np.uint16)), sizes)
    found = np.bitwise_or.reduceat(bits[order], np.flatnonzero(is_new))
    members = np.empty_like(bits)
    members[order] = found[np.cumsum(is_new) - 1]
    return np.split(members, np.cumsum(sizes)[:-1])


def _columns(digests: bytes) -> Indices:
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def _changes(sorted_rows: Indices) -> Indices:
    """Where a row differs from the one before it."""
    is_new = np.ones(len(sorted_rows), dtype=bool)
    is_new[1:] = (sorted_rows[1:] != sorted_rows[:-1]).any(axis=1)
    return is_new


def _identities(pool: Lines | Table, key: str | None) -> Iterator[bytes]:
    for number, sample in enumerate(_samples(pool), 1):
        value = sample if key is None else _value(sample, key, pool.name, number)
        yield json.dumps(value, sort_keys=True, default=str).encode()


def _samples(pool: Lines | Table) -> Iterator[dict[str, Any]]:
    if isinstance(pool, Lines):
        yield from (parse(line, pool.name, number) for number, line in enumerate(pool, 1))
    else:
        yield from (sample for batch in pool.batches for sample in batch.to_pylist())


def _value(sample: dict[str, Any], key: str, name: str, number: int) -> Any:
    value: Any = sample
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"{name}: sample {number} has no {key!r}; keys: {', '.join(sample)}")
        value = value[part]
    return value
