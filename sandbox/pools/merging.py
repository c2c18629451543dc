"""Several pools as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.lines import Lines
from sandbox.pools.opening import movable, open_pool, parse
from sandbox.pools.pool_file import base_names, check_format, check_paths, common_words, format_of
from sandbox.pools.table import Table
from sandbox.pools.writing import NewPool, prepare, write_pools


class DataPoolMerging(BaseDataPoolManipulator):
    """Put data pools one after another into one.

    Samples keep their bytes and their order; those that occur in several pools stay.

    Outputs:
        dataset_path: The merged pool, ``<common prefix of the names>_merged.jsonl``.
        num_samples: Its number of samples.

    Args:
        dataset_paths: The N pools.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is the first pool's.

    Raises:
        ValueError: ``dataset_paths`` is empty, a pool is empty, or pools have different schemas: Parquet
            pools, columns of different names or types; JSON Lines pools, whose first samples differ in
            their keys or in the kinds of their values (``null`` fits every kind, keys inside values are
            not compared).
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolMerging; unlike it, a missing pool is an error.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path", "num_samples")

    def __init__(self, dataset_paths: Sequence[Path], output_format: str | None = None) -> None:
        check_paths(dataset_paths)
        check_format(output_format)
        self.dataset_paths = dataset_paths
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the merged pool."""
        prepare(output_dir)
        ending = self.output_format or format_of(self.dataset_paths[0])
        pools = [open_pool(path, ending, output_dir) for path in self.dataset_paths]
        for pool in pools[1:]:
            _check_same(pools[0], pool)
        prefix = common_words(base_names(self.dataset_paths))
        path = output_dir / f"{prefix}_merged.{ending}".lstrip("_")
        parts = [(movable(pool, output_dir), range(len(pool))) for pool in pools]
        write_pools([NewPool(path, parts)])
        return {"dataset_path": path, "num_samples": sum(len(pool) for pool in pools)}


def _check_same(first: Lines | Table, other: Lines | Table) -> None:
    ours, theirs = _kinds(first), _kinds(other)
    wrong = [
        f"{key!r} is {ours.get(key, 'missing')} and {theirs.get(key, 'missing')}"
        for key in ours | theirs
        if ours.get(key) != theirs.get(key) and "null" not in (ours.get(key), theirs.get(key))
    ]
    if wrong:
        raise ValueError(
            f"{first.name} and {other.name} have different schemas: {'; '.join(wrong)}"
        )


def _kinds(pool: Lines | Table) -> dict[str, str]:
    if isinstance(pool, Table):
        return {field.name: str(field.type) for field in pool.schema}
    return {key: _kind(value) for key, value in parse(pool[0], pool.name, 1).items()}


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
