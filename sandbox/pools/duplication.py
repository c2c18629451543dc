"""Pools whose samples occur several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import MinLen

from sandbox.job import JobScope, PositiveInt, rule
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, PoolPaths, Pools, check_packages
from sandbox.pools.naming import base_names
from sandbox.samples import format_of

if TYPE_CHECKING:
    from sandbox.pools.lines import Rows
    from sandbox.pools.writing import Source


@dataclass(frozen=True, kw_only=True)
class DataPoolDuplication(BaseDataPoolManipulator):
    """Repeat every data pool several times.

    The result is N × M pools: pool by pool, in the order of ``duplicating_times``,
    ``<base>_x<times>.jsonl``.

    Args:
        dataset_paths: The N pools.
        duplicating_times: M different numbers of times, such as ``[2, 4, 8]``; 1 is a copy.
        shuffle: Write the samples in random order instead of the whole pool again and again.
        seed: Seed of the order.
        output_format: Format of the new pools; ``None`` is each pool's own.

    Raises:
        SampleError: A pool is empty or malformed.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolDuplication; unlike it, a missing pool is an error.
    """

    dataset_paths: PoolPaths
    duplicating_times: Annotated[Sequence[PositiveInt], MinLen(1)]
    shuffle: bool = False
    seed: int = 42
    output_format: OutputFormat | None = None

    @rule
    def _times_differ(duplicating_times: Sequence[int]) -> None:
        if len(set(duplicating_times)) < len(duplicating_times):
            raise ValueError(f"expected different numbers, got {duplicating_times!r}")

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> Pools:
        """Write the duplicated pools."""
        from sandbox.pools.opening import movable, open_pool
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        new = []
        for path, name in zip(self.dataset_paths, base_names(self.dataset_paths), strict=True):
            ending = self.output_format or format_of(path)
            pool = movable(open_pool(path, ending, folder), folder)
            for times in self.duplicating_times:
                parts = self._parts(pool, len(pool), times)
                new.append(NewPool(folder / f"{name}_x{times}.{ending}", parts))
        return Pools(paths=write_pools(new))

    def _parts(self, pool: Source, num_samples: int, times: int) -> list[tuple[Source, Rows]]:
        from sandbox.pools.sampling import shuffled

        if self.shuffle:
            return [(pool, shuffled(num_samples * times, self.seed) % num_samples)]
        return [(pool, range(num_samples))] * times
