"""Pools in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.pool_file import check_exists, check_paths


class DataPoolRanking(BaseDataPoolManipulator):
    """Rank data pools by their scores and keep the best.

    The pools themselves are handed on, not copied. Pools of equal score stay in input order.

    Outputs:
        paths: The pools, best first, ``top_n`` of them.
        scores: Their scores, parallel to ``paths``: a number each, or with several ``keys`` a list.
        order: Their positions in the input, parallel to ``paths``.
        best_path: The best pool.

    Args:
        dataset_paths: The N pools.
        metrics: One entry per pool: a number, a mapping with ``keys``, or a list of either, one per
            seed, which counts as its mean.
        keys: Where to find the score in a mapping, a path with dots such as ``test.CIDEr``. Of several
            the first decides, then the second, and so on. ``None`` for numbers.
        descending: Larger is better.
        top_n: How many to keep; ``None`` keeps all.
        groups: A group per pool, such as the statistic that it was split by: only the best pool of
            each group is ranked. ``None`` ranks every pool.
        ignore_groups: Groups that are left out, such as random controls.

    Raises:
        ValueError: There are not as many metrics or groups as pools, a score is missing or not a finite
            number, or ``top_n`` is not between 1 and the number of pools.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolRanking.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths", "scores", "order", "best_path")

    def __init__(
        self,
        dataset_paths: Sequence[Path],
        metrics: Sequence[Any],
        keys: Sequence[str] | str | None = None,
        descending: bool = True,
        top_n: int | None = None,
        groups: Sequence[str] | None = None,
        ignore_groups: Sequence[str] = (),
    ) -> None:
        check_paths(dataset_paths)
        if isinstance(metrics, str | Mapping) or not isinstance(metrics, Sequence):
            raise ValueError(f"metrics: expected a list with one entry per pool, got {metrics!r}")
        if len(metrics) != len(dataset_paths):
            raise ValueError(
                f"metrics: expected one entry per pool, {len(dataset_paths)}, got {len(metrics)}"
            )
        if groups is not None and len(groups) != len(dataset_paths):
            raise ValueError(
                f"groups: expected one entry per pool, {len(dataset_paths)}, got {len(groups)}"
            )
        if top_n is not None and not 1 <= top_n <= len(dataset_paths):
            raise ValueError(
                f"top_n: expected between 1 and the number of pools, {len(dataset_paths)}, got {top_n}"
            )
        self.dataset_paths = dataset_paths
        self.metrics = metrics
        self.keys: list[str | None] = (
            [keys] if isinstance(keys, str) else [*keys] if keys else [None]
        )
        self.descending = descending
        self.top_n = top_n
        self.groups = [*range(len(dataset_paths))] if groups is None else groups
        self.ignore_groups = ignore_groups

    def run(self, *, output_dir: Path) -> Outputs:
        """Rank the pools."""
        for path in self.dataset_paths:
            check_exists(path)
        scores = [
            tuple(_score(metric, key, path) for key in self.keys)
            for metric, path in zip(self.metrics, self.dataset_paths, strict=True)
        ]
        # sorted() is stable with reverse=True too: pools of equal score keep their order
        everything = sorted(range(len(scores)), key=scores.__getitem__, reverse=self.descending)
        order = self._best_of_groups(everything)[: self.top_n]
        if self.top_n is not None and len(order) < self.top_n:
            raise ValueError(
                f"top_n is {self.top_n}, but there are only {len(order)} groups to rank"
            )
        paths = [self.dataset_paths[position].absolute() for position in order]
        return {
            "paths": paths,
            "scores": [scores[i][0] if len(scores[i]) == 1 else list(scores[i]) for i in order],
            "order": order,
            "best_path": paths[0],
        }

    def _best_of_groups(self, order: Sequence[int]) -> list[int]:
        first: dict[str | int, int] = {}
        for position in order:
            if self.groups[position] not in self.ignore_groups:
                first.setdefault(self.groups[position], position)
        return list(first.values())


def _score(metric: Any, key: str | None, path: Path) -> float:
    """One finite number of a pool's metric; a list, of seeds, counts as its mean."""
    if isinstance(metric, Sequence) and not isinstance(metric, str):
        if not metric:
            raise ValueError(f"metrics of {path}: an empty list")
        return math.fsum(_score(each, key, path) for each in metric) / len(metric)
    value = metric
    for part in key.split(".") if key else []:
        if not isinstance(value, Mapping) or part not in value:
            available = ", ".join(map(str, value)) if isinstance(value, Mapping) else repr(value)
            raise ValueError(f"metrics of {path}: there is no {key!r}; available: {available}")
        value = value[part]
    if key and isinstance(value, Sequence) and not isinstance(value, str):
        return _score(value, None, path)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        hint = "; name the score with keys" if isinstance(value, Mapping) else ""
        raise ValueError(f"metrics of {path}: expected a finite number, got {value!r}{hint}")
    return float(value)
