"""Pools of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.lines import Lines
from sandbox.pools.opening import Moving, open_pool
from sandbox.pools.pool_file import base_names, check_format, check_paths, format_of
from sandbox.pools.sampling import draw
from sandbox.pools.writing import NewPool, prepare, write_pools


class DataPoolDownsampling(BaseDataPoolManipulator):
    """Draw the same number of samples from every data pool, without replacement.

    A pool already at or below the size is copied unchanged, so the result
    holds one pool per input, in input order. Samples keep their order and their bytes.

    Outputs:
        paths: One pool per input, ``<base>_<num_samples>.jsonl``.

    Args:
        dataset_paths: The N pools.
        num_samples: Samples per pool; ``None`` takes the smallest pool's size.
        seed: Seed of the draw; every pool is drawn with the same seed.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is each pool's own.

    Raises:
        ValueError: ``dataset_paths`` is empty, ``num_samples`` is not positive, or a pool is empty.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolManipulator; unlike it, a missing pool is an error.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)

    def __init__(
        self,
        dataset_paths: Sequence[Path],
        num_samples: int | None = None,
        seed: int = 42,
        output_format: str | None = None,
    ) -> None:
        check_paths(dataset_paths)
        check_format(output_format)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
        self.dataset_paths = dataset_paths
        self.num_samples = num_samples
        self.seed = seed
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the smaller pools."""
        prepare(output_dir)
        pools = [open_pool(path, self.output_format, output_dir) for path in self.dataset_paths]
        size = self.num_samples or min(len(pool) for pool in pools)
        new = []
        for path, name, pool in zip(self.dataset_paths, base_names(self.dataset_paths), pools, strict=True):
            rows = draw(len(pool), size, self.seed) if size < len(pool) else range(len(pool))
            ending = self.output_format or format_of(path)
            source = Moving(pool) if isinstance(pool, Lines) else pool
            new.append(NewPool(output_dir / f"{name}_{len(rows)}.{ending}", [(source, rows)]))
        return {"paths": write_pools(new)}
