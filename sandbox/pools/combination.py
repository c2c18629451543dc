"""What ranked pools have in common."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.identity import hashes, pools_of_each
from sandbox.pools.opening import movable, open_pool
from sandbox.pools.pool_file import base_names, check_format, check_paths, common_words, format_of
from sandbox.pools.writing import NewPool, prepare, write_pools

_MOST = 16
_log = logging.getLogger(__name__)


class DataPoolCombination(BaseDataPoolManipulator):
    """Intersect ranked data pools in all 2ⁿ-1 ways: each alone, every pair, …, all of them.

    Two samples are equal where their content is identical, byte for byte in JSON Lines once relative
    media paths are absolute, which holds for pools of one construction; or where they have the same value
    under ``key``. Contents are compared by 128-bit hashes. An intersection has the lines of
    its best-ranked pool, in that pool's order.

    Outputs:
        paths: The intersections that are not empty, by number of pools, then by rank:
            ``<common prefix of the names>_top_<ranks>_num_<number of samples>.jsonl``.
        names: Their names, ``top_1``, ``top_1_2``, …; rank 1 is the best.
        left_out: Names of the intersections that are empty.

    Args:
        dataset_paths: The n pools, best first; at most 16.
        key: Where to find what makes two samples equal, a path with dots such as ``meta.id``;
            ``None`` compares whole samples.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is the first pool's.

    Raises:
        ValueError: ``dataset_paths`` is empty or too long, a pool is empty, or a sample has no such
            ``key``.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolCombination.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths", "names", "left_out")
    VERSION: ClassVar[int] = 2

    def __init__(
        self,
        dataset_paths: Sequence[Path],
        key: str | None = None,
        output_format: str | None = None,
    ) -> None:
        check_paths(dataset_paths)
        check_format(output_format)
        if len(dataset_paths) > _MOST:
            raise ValueError(
                f"dataset_paths: expected at most {_MOST} pools, got {len(dataset_paths)}"
            )
        if key is not None and (not isinstance(key, str) or not key):
            raise ValueError(f"key: expected a path with dots such as meta.id, got {key!r}")
        self.dataset_paths = dataset_paths
        self.key = key
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the intersections."""
        prepare(output_dir)
        ending = self.output_format or format_of(self.dataset_paths[0])
        pools = [open_pool(path, ending, output_dir) for path in self.dataset_paths]
        pools = [
            movable(pool, output_dir) for pool in pools
        ]  # one relative path, two folders: two files
        members = pools_of_each([hashes(pool, self.key) for pool in pools])
        prefix = common_words(base_names(self.dataset_paths)) or "combination"
        new, names, left_out = [], [], []
        for ranks in _subsets(len(pools)):
            wanted = sum(1 << rank for rank in ranks)
            best = members[ranks[0]]
            rows = np.flatnonzero(best & wanted == wanted)
            name = "top_" + "_".join(str(rank + 1) for rank in ranks)
            if not len(rows):
                left_out.append(name)
                continue
            names.append(name)
            path = output_dir / f"{prefix}_{name}_num_{len(rows)}.{ending}"
            every = range(len(best)) if len(rows) == len(best) else rows
            new.append(NewPool(path, [(pools[ranks[0]], every)]))
        if left_out:
            _log.warning("empty intersections, left out: %s", ", ".join(left_out))
        return {"paths": write_pools(new), "names": names, "left_out": left_out}


def _subsets(num_pools: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, num_pools + 1):
        yield from itertools.combinations(range(num_pools), size)
