"""Scores of models of several candidates and a baseline, paired by the seed of their training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.job import is_real
from sandbox.samples import base_name, first_of


def paired_models(
    candidates: Sequence[str], seeds: Sequence[int], baseline: str
) -> dict[str, dict[int, int]]:
    """Return for every candidate and the baseline, by name, its model with each seed, by position.

    A name may be a path, whose file name without extension counts. The baseline comes last;
    seeds are in ascending order.

    Raises:
        ValueError: The baseline is not among the candidates, or alone; or a candidate has not just
            one model with each seed of the baseline.
    """
    if len(candidates) != len(seeds):
        raise ValueError(
            f"expected one candidate and one seed for each model; given {len(candidates)} "
            f"candidates and {len(seeds)} seeds"
        )
    models: dict[str, dict[int, int]] = {}
    for index, (path, seed) in enumerate(zip(candidates, seeds, strict=True)):
        name = base_name(Path(path))
        of_name = models.setdefault(name, {})
        if seed in of_name:
            raise ValueError(f"candidates: {name} has two models with seed {seed}, expected one")
        of_name[seed] = index
    name = base_name(Path(baseline))
    if name not in models:
        available = ", ".join(models) or "none"
        raise ValueError(f"baseline: {name} is not among the candidates; available: {available}")
    if len(models) == 1:
        raise ValueError(f"candidates: expected others than the baseline {name}, given it alone")
    of_baseline = models.pop(name)
    for candidate, of_name in models.items():
        for seed in of_baseline.keys() ^ of_name.keys():
            has, lacks = (name, candidate) if seed in of_baseline else (candidate, name)
            raise ValueError(f"seeds: {lacks} has no model with seed {seed}, which {has} has")
    models[name] = of_baseline
    return {key: dict(sorted(by_seed.items())) for key, by_seed in models.items()}


def read_rows(scores: Sequence[Path] | Sequence[float], metric: str) -> list[list[float]]:
    """Return the scores of every model: one for each item, in one order, or a single one.

    Args:
        scores: For every model a number, or a JSON file, ``{metric: {item id: score}}``.
        metric: The metric to read.

    Raises:
        ValueError: A file has not the metric, fewer than two items, other items than the first
            file, or something else than finite numbers.
    """
    rows: list[list[float]] = []
    item_ids: list[str] = []
    for index, given in enumerate(scores):
        if not isinstance(given, Path):
            rows.append([_finite(given, f"{metric} of model {index}")])
            continue
        by_item = _scores_by_item(given, metric)
        item_ids = item_ids or list(by_item)
        differing = sorted(by_item.keys() ^ set(item_ids))
        if differing:
            raise ValueError(
                f"{given}: its items differ from those of {scores[0]}; {len(differing)} are not in "
                f"both, the first: {first_of(differing)}"
            )
        rows.append(
            [_finite(by_item[item_id], f"{given}: {metric} of {item_id}") for item_id in item_ids]
        )
    return rows


def _scores_by_item(path: Path, metric: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    scores = content.get(metric) if isinstance(content, dict) else None
    if not isinstance(scores, dict):
        available = ", ".join(content) if isinstance(content, dict) else "none"
        raise ValueError(
            f"{path} has no scores {{item id: score}} for {metric}; available: {available}"
        )
    if len(scores) < 2:
        raise ValueError(f"{path}: {len(scores)} items have {metric}, expected at least two")
    return scores


def _finite(value: Any, place: str) -> float:
    if not is_real(value) or not math.isfinite(value):
        raise ValueError(f"{place} is {value!r}, expected a finite number")
    return float(value)
