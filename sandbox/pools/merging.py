"""Several pools as one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.job import JobScope
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, PoolPaths, check_packages
from sandbox.pools.naming import common_words
from sandbox.samples import format_of

if TYPE_CHECKING:
    from sandbox.pools.lines import Lines
    from sandbox.pools.table import Table

_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


@dataclass(frozen=True, kw_only=True)
class MergedPool:
    """Several pools in one.

    Args:
        dataset_path: The merged pool, ``<common prefix of the names>_merged.jsonl``.
        num_samples: Its number of samples.
    """

    dataset_path: Path
    num_samples: int


@dataclass(frozen=True, kw_only=True)
class DataPoolMerging(BaseDataPoolManipulator):
    """Put data pools one after another into one.

    Samples keep their bytes and their order; those that occur in several pools stay.

    Args:
        dataset_paths: The N pools.
        output_format: Format of the merged pool; ``None`` is the first pool's.

    Raises:
        SampleError: A pool is empty or malformed.
        ValueError: Pools have different schemas: Parquet pools, columns of different names or
            types; JSON Lines pools, whose first samples differ in their keys or in the kinds of
            their values (``null`` fits every kind, keys inside values are not compared).
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolMerging; unlike it, a missing pool is an error.
    """

    dataset_paths: PoolPaths
    output_format: OutputFormat | None = None

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> MergedPool:
        """Write the merged pool."""
        from sandbox.pools.opening import movable, open_pool
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        ending = self.output_format or format_of(self.dataset_paths[0])
        pools = [open_pool(path, ending, folder) for path in self.dataset_paths]
        for pool in pools[1:]:
            _check_same(pools[0], pool)
        path = folder / f"{common_words(self.dataset_paths)}_merged.{ending}".lstrip("_")
        parts = [(movable(pool, folder), range(len(pool))) for pool in pools]
        write_pools([NewPool(path, parts)])
        return MergedPool(dataset_path=path, num_samples=sum(len(pool) for pool in pools))


def _check_same(first: Lines | Table, other: Lines | Table) -> None:
    ours, theirs = _kinds(first), _kinds(other)
    wrong = []
    for key in ours | theirs:
        kinds = (ours.get(key, "missing"), theirs.get(key, "missing"))
        # A column that is null in the first sample may have any kind in the next one.
        if kinds[0] != kinds[1] and "null" not in kinds:
            wrong.append(f"{key!r} is {kinds[0]} and {kinds[1]}")
    if wrong:
        raise ValueError(
            f"{first.path} and {other.path} have different schemas: {'; '.join(wrong)}"
        )


def _kinds(pool: Lines | Table) -> dict[str, str]:
    from sandbox.pools.table import Table

    if isinstance(pool, Table):
        return {field.name: str(field.type) for field in pool.schema}
    first = next(pool.samples())
    return {key: _KINDS.get(type(value), "a number") for key, value in first.items()}
