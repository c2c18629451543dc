"""Samples that ranked pools have in common."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import MaxLen, MinLen

from sandbox.job import JobScope, NonEmptyText
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, check_packages
from sandbox.pools.naming import common_words
from sandbox.samples import format_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Intersections:
    """Intersections of pools, by number of pools, then by rank.

    Args:
        paths: Those that are not empty:
            ``<common prefix of the names>_top_<ranks>_num_<number of samples>.jsonl``.
        names: Their names, ``top_1``, ``top_1_2``, …; rank 1 is the best.
        left_out: Names of the intersections that are empty.
    """

    paths: list[Path]
    names: list[str]
    left_out: list[str]


@dataclass(frozen=True, kw_only=True)
class DataPoolCombination(BaseDataPoolManipulator):
    """Intersect ranked data pools in all 2ⁿ-1 ways: each alone, every pair, …, all of them.

    Two samples are equal where their content is identical, byte for byte in JSON Lines once
    relative media paths are absolute, which holds for pools of one construction; or where they have
    the same value under ``key``. Contents are compared by 128-bit hashes. An intersection has the
    lines of its best-ranked pool, in that pool's order.

    Args:
        dataset_paths: The n pools, best first; at most 16.
        key: Place of the value that makes two samples equal, with dots such as ``meta.id``;
            ``None`` compares whole samples.
        output_format: Format of the new pools; ``None`` is the first pool's.

    Raises:
        SampleError: A pool is empty or malformed, or a sample has no such ``key``.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolCombination.
    """

    VERSION: ClassVar[int] = 2

    dataset_paths: Annotated[Sequence[Path], MinLen(1), MaxLen(16)]
    key: NonEmptyText | None = None
    output_format: OutputFormat | None = None

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> Intersections:
        """Write the intersections."""
        import numpy as np

        from sandbox.pools.identity import hashes, pools_of_each
        from sandbox.pools.opening import movable, open_pool
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        ending = self.output_format or format_of(self.dataset_paths[0])
        # Absolute first: one relative path in two folders means two files.
        pools = [movable(open_pool(path, ending, folder), folder) for path in self.dataset_paths]
        members = pools_of_each([hashes(pool, self.key) for pool in pools])
        prefix = common_words(self.dataset_paths) or "combination"
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
            path = folder / f"{prefix}_{name}_num_{len(rows)}.{ending}"
            # A range is copied inside the kernel, rows are not.
            every = range(len(best)) if len(rows) == len(best) else rows
            new.append(NewPool(path, [(pools[ranks[0]], every)]))
        if left_out:
            _log.warning("empty intersections, left out: %s", ", ".join(left_out))
        return Intersections(paths=write_pools(new), names=names, left_out=left_out)


def _subsets(num_pools: int) -> Iterator[list[int]]:
    for size in range(1, num_pools + 1):
        yield from itertools.combinations(range(num_pools), size)
