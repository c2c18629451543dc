"""Thresholds of a recipe at mean ± k standard deviations of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.recipes.refinement import Bounds, Refinement, refine
from sandbox.recipes.thresholds import Threshold


def refine_by_k_sigma(
    recipe: Mapping[str, Any],
    statistics: Mapping[str, Mapping[str, float | None]],
    k: float = 3.0,
    k_by_operator: Mapping[str, float | None] | None = None,
) -> Refinement:
    """Set both sides of every filter of a recipe to mean ± k·σ of its statistic; see ``refine``.

    Args:
        recipe: Data-Juicer's own keys; never edited.
        statistics: ``{statistic: {"mean": …, "std": …}}`` of the data, as the Analyzer gives them.
        k: Number of standard deviations, positive.
        k_by_operator: Another k for single operators, by their key in ``process`` (with its
            suffix); ``None`` leaves the operator untouched.

    Raises:
        ValueError: A statistic has no mean.

    Source: Data-Juicer's ``tools/hpo/execute_hpo_3sigma.py``, which fails on recipes of 1.6.1 and
    sets every argument with "min" or "max" in its name.
    """
    ks = k_by_operator or {}

    def bounds(key: str, known: Sequence[Threshold]) -> list[Bounds | None] | str:
        factor = ks.get(key, k)
        if factor is None:
            return "k is null"
        found = [_around_mean(threshold.statistic, statistics, factor) for threshold in known]
        reasons = [each for each in found if isinstance(each, str)]
        return reasons[0] if reasons else [each for each in found if not isinstance(each, str)]

    return refine(recipe, bounds)


def _around_mean(
    statistic: str, statistics: Mapping[str, Mapping[str, float | None]], k: float
) -> Bounds | str | None:
    """Return the bounds of a statistic, ``None`` without the statistic, or why there are none."""
    if statistic not in statistics:
        return None
    known = statistics[statistic]
    mean, std = known.get("mean"), known.get("std")
    if mean is None or not math.isfinite(mean):
        raise ValueError(
            f"statistics.{statistic}: expected a number under 'mean', got {dict(known)!r}"
        )
    if std is None or math.isnan(std):
        return "the statistic has no standard deviation (a single value)"
    reason = f"{k:g} × {std:.6g} of {statistic}"
    low, high = f"{mean:.6g} - {reason}", f"{mean:.6g} + {reason}"
    return Bounds(mean - k * std, mean + k * std, low, high)
