"""Pools in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from sandbox.job import JobScope, PositiveInt, parallel, rule
from sandbox.pools import BaseDataPoolManipulator, PoolPaths
from sandbox.samples import shards


@dataclass(frozen=True, kw_only=True)
class RankedPools:
    """Pools, best first.

    Args:
        paths: The best ``top_n`` pools.
        scores: Their scores, parallel to ``paths``: a number each, or with several keys a list.
        order: Their positions in the input, parallel to ``paths``.
        best_path: The best pool.
    """

    paths: list[Path]
    scores: list[float | list[float]]
    order: list[int]
    best_path: Path


@dataclass(frozen=True, kw_only=True)
class DataPoolRanking(BaseDataPoolManipulator):
    """Rank data pools by their scores and keep the best.

    The pools themselves are handed on, not copied. Pools of equal score stay in input order.

    Args:
        dataset_paths: The N pools.
        metrics: One entry per pool: a number, a mapping with ``keys``, or a list of either, one per
            seed, which counts as its mean.
        keys: Place of the score in a mapping, with dots such as ``test.CIDEr``. Of several the
            first decides, then the second, and so on. ``None`` for numbers.
        descending: Larger is better.
        top_n: Number of pools to keep; ``None`` keeps all.
        groups: A group per pool, such as the statistic that it was split by: only the best pool of
            each group is ranked. ``None`` ranks every pool.
        ignore_groups: Groups that are left out, such as random controls.

    Raises:
        ValueError: A score is missing or not a finite number, or there are fewer groups than
            ``top_n``.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolRanking.
    """

    dataset_paths: PoolPaths
    metrics: Sequence[Any]
    keys: Sequence[str] | str | None = None
    descending: bool = True
    top_n: PositiveInt | None = None
    groups: Sequence[str] | None = None
    ignore_groups: Sequence[str] = ()

    _one_entry_per_pool = parallel("dataset_paths", "metrics", "groups")

    @rule
    def _no_more_than_there_are(dataset_paths: Sequence[Path], top_n: int | None) -> None:
        if top_n is not None and top_n > len(dataset_paths):
            raise ValueError(
                f"top_n: expected at most the number of pools, {len(dataset_paths)}, got {top_n}"
            )

    def run(self, *, scope: JobScope) -> RankedPools:
        """Rank the pools."""
        # Nothing is read here, so a missing pool would only be found by the next job.
        for path in self.dataset_paths:
            shards(path)
        keys: Sequence[str | None] = (
            [self.keys] if isinstance(self.keys, str) else self.keys or [None]
        )
        scores = [
            [_score(metric, key, path) for key in keys]
            for metric, path in zip(self.metrics, self.dataset_paths, strict=True)
        ]
        # sorted() is stable with reverse=True too: pools of equal score keep their order.
        everything = sorted(range(len(scores)), key=scores.__getitem__, reverse=self.descending)
        order = self._best_of_groups(everything)[: self.top_n]
        if self.top_n is not None and len(order) < self.top_n:
            raise ValueError(
                f"top_n is {self.top_n}, but there are only {len(order)} groups to rank"
            )
        if not order:
            raise ValueError("ignore_groups leaves no pool to rank")
        paths = [self.dataset_paths[position].absolute() for position in order]
        return RankedPools(
            paths=paths,
            scores=[scores[i][0] if len(keys) == 1 else scores[i] for i in order],
            order=order,
            best_path=paths[0],
        )

    def _best_of_groups(self, order: list[int]) -> list[int]:
        if self.groups is None:
            return order
        best: dict[str, int] = {}
        for position in order:
            group = self.groups[position]
            if group not in self.ignore_groups:
                best.setdefault(group, position)
        return list(best.values())


def _score(metric: Any, key: str | None, path: Path) -> float:
    """Return one finite number of a pool's metric; a list, of seeds, counts as its mean."""
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
