"""Pools of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.pool_file import base_names, check_paths, draw, read_lines, write_lines


class DataPoolDownsampling(BaseDataPoolManipulator):
    """Draw the same number of samples from every data pool, without replacement.

    A pool already at or below the size is copied unchanged, so the result
    holds one pool per input, in input order. Samples keep their order and their bytes.

    Outputs:
        paths: One pool per input, ``<base>_<num_samples>.jsonl``.

    Args:
        dataset_paths: The N pools, JSON Lines, one sample a line.
        num_samples: Samples per pool; ``None`` takes the smallest pool's size.
        seed: Seed of the draw; every pool is drawn with the same seed.

    Raises:
        ValueError: ``dataset_paths`` is empty, ``num_samples`` is not positive, or a pool is empty.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolManipulator; unlike it, a missing pool is an error.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)

    def __init__(self, dataset_paths: Sequence[Path], num_samples: int | None = None, seed: int = 42) -> None:
        check_paths(dataset_paths)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
        self.dataset_paths = dataset_paths
        self.num_samples = num_samples
        self.seed = seed

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the smaller pools."""
        pools = [read_lines(path) for path in self.dataset_paths]
        size = self.num_samples or min(len(lines) for lines in pools)
        paths = []
        for name, lines in zip(base_names(self.dataset_paths), pools, strict=True):
            drawn = draw(len(lines), min(size, len(lines)), self.seed)
            paths.append(output_dir / f"{name}_{len(drawn)}.jsonl")
            write_lines(paths[-1], (lines[position] for position in drawn))
        return {"paths": paths}
