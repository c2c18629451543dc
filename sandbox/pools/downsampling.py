"""Pools of equal size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.job import JobScope, PositiveInt
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, PoolPaths, Pools, check_packages
from sandbox.pools.naming import base_names
from sandbox.samples import format_of

if TYPE_CHECKING:
    from sandbox.pools.lines import Rows


@dataclass(frozen=True, kw_only=True)
class DataPoolDownsampling(BaseDataPoolManipulator):
    """Draw the same number of samples from every data pool, without replacement.

    A pool already at or below the size is copied unchanged, so the result holds one pool per input,
    in input order, ``<base>_<num_samples>.jsonl``. Samples keep their order and their bytes.

    Args:
        dataset_paths: The N pools.
        num_samples: Samples per pool; ``None`` takes the smallest pool's size.
        seed: Seed of the draw; every pool is drawn with the same seed.
        output_format: Format of the new pools; ``None`` is each pool's own.

    Raises:
        SampleError: A pool is empty or malformed.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolManipulator; unlike it, a missing pool is an error.
    """

    dataset_paths: PoolPaths
    num_samples: PositiveInt | None = None
    seed: int = 42
    output_format: OutputFormat | None = None

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> Pools:
        """Write the smaller pools."""
        from sandbox.pools.lines import Lines, num_threads
        from sandbox.pools.opening import Moving, open_pool
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        pools = [open_pool(path, self.output_format, folder) for path in self.dataset_paths]
        size = self.num_samples or min(len(pool) for pool in pools)
        with ThreadPoolExecutor(num_threads()) as executor:
            drawn = list(executor.map(lambda pool: self._draw(len(pool), size), pools))
        new = []
        names = base_names(self.dataset_paths)
        for path, name, pool, rows in zip(self.dataset_paths, names, pools, drawn, strict=True):
            ending = self.output_format or format_of(path)
            source = Moving(pool) if isinstance(pool, Lines) else pool
            new.append(NewPool(folder / f"{name}_{len(rows)}.{ending}", [(source, rows)]))
        # One more than cores: three pools on two cores are then written in one round.
        return Pools(paths=write_pools(new, num_threads() + 1))

    def _draw(self, num_samples: int, size: int) -> Rows:
        from sandbox.pools.sampling import draw

        return draw(num_samples, size, self.seed) if size < num_samples else range(num_samples)
