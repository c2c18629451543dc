"""Thresholds of a recipe at mean ± k standard deviations of the data."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.recipes import operator_name, process_list, process_mapping
from sandbox.recipes.thresholds import Threshold, thresholds


@dataclass(frozen=True)
class Refinement:
    """A refined recipe and what became of the given one.

    Args:
        recipe: The new recipe, ``process`` as a mapping by operator.
        original: The given recipe in the same form.
        untouched: Operators of the recipe that stay as they are, and why.
    """

    recipe: dict[str, Any]
    original: dict[str, Any]
    untouched: dict[str, str]

    def diff(self) -> str:
        """The changes as a unified diff of the recipes in YAML, headed by what stays untouched and why."""
        before, after = (to_yaml(recipe).splitlines() for recipe in (self.original, self.recipe))
        reasons = [f"# {operator} is untouched: {reason}" for operator, reason in self.untouched.items()]
        changes = difflib.unified_diff(before, after, "recipe.yaml", "refined recipe.yaml", lineterm="")
        return "\n".join([*reasons, *changes]) + "\n"


def refine(
    recipe: Mapping[str, Any],
    statistics: Mapping[str, Mapping[str, float | None]],
    k: float = 3.0,
    k_by_operator: Mapping[str, float | None] | None = None,
) -> Refinement:
    """Set both sides of every filter of a recipe to mean ± k·σ of its statistic.

    Whole numbers stay whole, the lower side rounded down and the upper up; other numbers are rounded
    outward at the ninth digit, so that a statistic that never varies loses no sample to rounding.
    Values are clipped to what is legal (a ratio to [0, 1], a length to 0 and above). Arguments that
    are no thresholds stay as they are, and so do operators without statistics and those with
    ``reversed_range``.

    Args:
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list; never edited.
        statistics: ``{statistic: {"mean": …, "std": …}}`` of the data, as the Analyzer gives them.
        k: Number of standard deviations.
        k_by_operator: Another k for single operators, by their key in ``process`` (with its
            suffix); ``None`` leaves the operator untouched.

    Raises:
        ValueError: A k is not positive, an operator is not in the recipe, or a statistic has no mean.

    Source: Data-Juicer's ``tools/hpo/execute_hpo_3sigma.py``, which fails on recipes of 1.6.1 and sets
    every argument with "min" or "max" in its name.
    """
    process = process_mapping(process_list(recipe))
    original = {**copy.deepcopy(dict(recipe)), "process": process}
    refined = copy.deepcopy(original)
    ks = _ks(k, k_by_operator or {}, list(process))
    untouched = {}
    for key, arguments in refined["process"].items():
        reason = _refine_operator(key, arguments, statistics, ks[key])
        if reason:
            untouched[key] = reason
    return Refinement(refined, original, untouched)


def to_yaml(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML, its keys in their own order."""
    import yaml

    text: str = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
    return text


def _ks(k: float, k_by_operator: Mapping[str, float | None], operators: list[str]) -> dict[str, float | None]:
    unknown = [key for key in k_by_operator if key not in operators]
    if unknown:
        raise ValueError(
            f"k_by_operator: the recipe has no {', '.join(unknown)}; its operators: {', '.join(operators)}"
        )
    ks = {key: k_by_operator.get(key, k) for key in operators}
    for key, value in ks.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"k of {key}: expected a positive number, got {value!r}")
    return ks


def _refine_operator(
    key: str, arguments: dict[str, Any], statistics: Mapping[str, Mapping[str, float | None]], k: float | None
) -> str | None:
    """Set the operator's thresholds, or say why it stays as it is."""
    bounds = thresholds(operator_name(key), arguments)
    if k is None:
        return "k is null"
    if not bounds:
        return "it has no thresholds on a statistic"
    if arguments.get("reversed_range"):
        return "it keeps what lies outside its range (reversed_range)"
    known = [threshold for threshold in bounds if threshold.statistic in statistics]
    if not known:
        return f"no statistic {' or '.join(threshold.statistic for threshold in bounds)}"
    spread = [_mean_and_std(threshold, statistics[threshold.statistic]) for threshold in known]
    if any(std is None for _, std in spread):
        return "the statistic has no standard deviation (a single value)"
    for threshold, (mean, std) in zip(known, spread, strict=True):
        assert std is not None
        if threshold.minimum:
            arguments[threshold.minimum] = threshold.at_least(mean - k * std)
        if threshold.maximum:
            arguments[threshold.maximum] = threshold.at_most(mean + k * std)
    return None


def _mean_and_std(threshold: Threshold, summary: Mapping[str, float | None]) -> tuple[float, float | None]:
    mean, std = summary.get("mean"), summary.get("std")
    if mean is None or not math.isfinite(mean):
        raise ValueError(
            f"statistics.{threshold.statistic}: expected a number under 'mean', got {dict(summary)!r}"
        )
    return mean, None if std is None or math.isnan(std) else std
