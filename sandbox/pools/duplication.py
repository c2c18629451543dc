"""Pools whose samples occur several times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.lines import Rows
from sandbox.pools.opening import movable, open_pool
from sandbox.pools.pool_file import base_names, check_format, check_paths, format_of
from sandbox.pools.sampling import shuffled
from sandbox.pools.writing import NewPool, Source, prepare, write_pools


class DataPoolDuplication(BaseDataPoolManipulator):
    """Repeat every data pool several times.

    Outputs:
        paths: N × M pools: pool by pool, in the order of ``duplicating_times``; ``<base>_x<times>.jsonl``.

    Args:
        dataset_paths: The N pools.
        duplicating_times: M numbers of times, such as ``[2, 4, 8]``; 1 is a copy.
        shuffle: Write the samples in random order instead of the whole pool again and again.
        seed: Seed of the order.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is each pool's own.

    Raises:
        ValueError: ``dataset_paths`` or ``duplicating_times`` is empty, a number of times is not a whole
            number from 1 or occurs twice, or a pool is empty.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolDuplication; unlike it, a missing pool is an error.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)

    def __init__(
        self,
        dataset_paths: Sequence[Path],
        duplicating_times: Sequence[int],
        shuffle: bool = False,
        seed: int = 42,
        output_format: str | None = None,
    ) -> None:
        check_paths(dataset_paths)
        check_format(output_format)
        times = duplicating_times if isinstance(duplicating_times, Sequence) else ()
        is_right = all(type(each) is int and each >= 1 for each in times)
        if not times or not is_right or len(set(times)) < len(times):
            raise ValueError(
                "duplicating_times: expected a list of different whole numbers from 1, "
                f"got {duplicating_times!r}"
            )
        self.dataset_paths = dataset_paths
        self.duplicating_times = duplicating_times
        self.shuffle = shuffle
        self.seed = seed
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the duplicated pools."""
        prepare(output_dir)
        new = []
        for path, name in zip(self.dataset_paths, base_names(self.dataset_paths), strict=True):
            ending = self.output_format or format_of(path)
            pool = movable(open_pool(path, ending, output_dir), output_dir)
            for times in self.duplicating_times:
                parts = self._parts(pool, len(pool), times)
                new.append(NewPool(output_dir / f"{name}_x{times}.{ending}", parts))
        return {"paths": write_pools(new)}

    def _parts(self, pool: Source, num_samples: int, times: int) -> list[tuple[Source, Rows]]:
        if self.shuffle:
            return [(pool, shuffled(num_samples * times, self.seed) % num_samples)]
        return [(pool, range(num_samples))] * times
