"""Thresholds of a recipe at percentiles of the data."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.recipes import as_mapping
from sandbox.recipes.operators import operator_name
from sandbox.recipes.refinement import Bounds, Refinement, refine
from sandbox.recipes.thresholds import Threshold, thresholds
from sandbox.samples import STATS, SampleError, read_samples


def refine_by_percentiles(
    recipe: Mapping[str, Any],
    dataset_path: Path,
    low: float = 5.0,
    high: float = 95.0,
    percentiles_by_operator: Mapping[str, Sequence[float] | None] | None = None,
) -> Refinement:
    """Set both sides of every filter of a recipe to percentiles of its statistic; see ``refine``.

    Percentiles are exact, over all samples, linear between two of them; of lists of numbers every
    number counts.

    Args:
        recipe: Data-Juicer's own keys; never edited.
        dataset_path: A pool with the statistics of every sample, as the Analyzer writes them.
        low: Percentile of the lower side, from 0.
        high: Percentile of the upper side, to 100.
        percentiles_by_operator: Another ``[low, high]`` for single operators, by their key in
            ``process`` (with its suffix); ``None`` leaves the operator untouched.

    Raises:
        SampleError: A line is malformed, or no sample has statistics.
    """
    import numpy as np

    pairs = percentiles_by_operator or {}
    names = set()
    for key, arguments in as_mapping(recipe).items():
        names |= {each.statistic for each in thresholds(operator_name(key), arguments)}
    values = read_statistics(dataset_path, names)

    def bounds(key: str, known: Sequence[Threshold]) -> list[Bounds | None] | str:
        pair = pairs.get(key, (low, high))
        if pair is None:
            return "its percentiles are null"
        found: list[Bounds | None] = []
        for name in (threshold.statistic for threshold in known):
            if not values.get(name):
                found.append(None)
                continue
            sides = np.percentile(np.frombuffer(values[name]), list(pair)).tolist()
            reasons = (f"percentile {percent:g} of {name}" for percent in pair)
            found.append(Bounds(*sides, *reasons))
        return found

    return refine(recipe, bounds)


def check_percentiles(
    low: float, high: float, percentiles_by_operator: Mapping[str, Sequence[float] | None]
) -> None:
    """Check all pairs of percentiles, as a rule between the arguments that these are.

    Raises:
        ValueError: One is not a pair, not in [0, 100], or not in order.
    """
    named: dict[str, Sequence[float] | None] = {"low, high": (low, high)}
    for key, pair in percentiles_by_operator.items():
        named[f"percentiles_by_operator.{key}"] = pair
    for name, pair in named.items():
        if pair is not None and not (len(pair) == 2 and 0 <= pair[0] < pair[1] <= 100):
            given = ", ".join(map(str, pair))
            raise ValueError(f"{name}: expected 0 <= low < high <= 100, got {given}")


def read_statistics(dataset_path: Path, names: Iterable[str]) -> dict[str, array[float]]:
    """Return the numbers of some statistics over all samples, 8 bytes each.

    Samples without a statistic are left out.

    Raises:
        SampleError: A line is malformed, or no sample has statistics at all.
    """
    found = {name: array("d") for name in sorted(names)}
    has_statistics = False
    for _, sample in read_samples(dataset_path):
        stats = sample.get(STATS) or {}
        has_statistics = has_statistics or bool(stats)
        for name, column in found.items():
            column.extend(_numbers(stats.get(name)))
    if not has_statistics:
        reason = f"no sample has statistics ({STATS}); probe the data set first"
        raise SampleError.at(dataset_path, None, reason)
    return found


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    # NaN differs from itself.
    return [each for each in values if isinstance(each, int | float) and each == each]
