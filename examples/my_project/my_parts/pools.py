"""A pool manipulator of your own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import BaseDataPoolManipulator, JobScope, PositiveInt, rule
from sandbox.samples import read_samples


@dataclass(frozen=True, kw_only=True)
class PoolsByLength:
    """Pools of short and of long texts.

    Args:
        paths: The pool of short texts, then the one of long texts.
    """

    paths: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class SplitByLength(BaseDataPoolManipulator):
    """Split a pool into short and long texts, and leave out those in between.

    Args:
        dataset_path: The pool.
        short: Most words of a short text.
        long: Fewest words of a long text.
    """

    dataset_path: Path
    short: PositiveInt = 7
    long: PositiveInt = 8

    @rule
    def _pools_do_not_overlap(short: int, long: int) -> None:
        if short >= long:
            raise ValueError(f"short is {short}, expected less than long, which is {long}")

    def run(self, *, scope: JobScope) -> PoolsByLength:
        paths = [scope.output_dir / f"{name}.jsonl" for name in ("short", "long")]
        with paths[0].open("w") as short_pool, paths[1].open("w") as long_pool:
            for _, sample in read_samples(self.dataset_path):
                num_words = len(sample["text"].split())
                line = f"{json.dumps(sample)}\n"
                if num_words <= self.short:
                    short_pool.write(line)
                elif num_words >= self.long:
                    long_pool.write(line)
        return PoolsByLength(paths=paths)
