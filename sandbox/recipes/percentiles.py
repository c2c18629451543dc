"""Thresholds of a recipe at percentiles of the data."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.recipes import as_mapping, operator_name
from sandbox.recipes.refinement import Bounds, Refinement, check_operators, refine
from sandbox.recipes.thresholds import Threshold, thresholds

_STATS = "__dj__stats__"


def refine_by_percentiles(
    recipe: Mapping[str, Any],
    dataset_path: Path,
    low: float = 5.0,
    high: float = 95.0,
    by_operator_percentiles: Mapping[str, Sequence[float] | None] | None = None,
) -> Refinement:
    """Set both sides of every filter of a recipe to percentiles of its statistic; see ``refine``.

    Percentiles are exact, over all samples, linear between two of them; of lists of numbers every
    number counts.

    Args:
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list; never edited.
        dataset_path: JSON Lines with the statistics of every sample, as the Analyzer writes them.
        low: Percentile of the lower side, from 0.
        high: Percentile of the upper side, to 100.
        by_operator_percentiles: Another ``[low, high]`` for single operators, by their key in
            ``process`` (with its suffix); ``None`` leaves the operator untouched.

    Raises:
        ValueError: Percentiles are out of [0, 100] or not in order, an operator is not in the recipe,
            a line is malformed, or no sample has statistics.
    """
    import numpy as np

    pairs = dict(by_operator_percentiles or {})
    check_operators("percentiles_by_operator", pairs, recipe)
    check_percentiles(low, high, pairs)
    process = as_mapping(recipe)
    names = {
        t.statistic for key, args in process.items() for t in thresholds(operator_name(key), args)
    }
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
    low: float, high: float, by_operator_percentiles: Mapping[str, Sequence[float] | None]
) -> None:
    """Check all pairs of percentiles.

    Raises:
        ValueError: One is no pair, out of [0, 100], or not in order.
    """
    named: dict[str, Sequence[float] | None] = {"low, high": (low, high)}
    named |= {
        f"percentiles_by_operator.{key}": pair for key, pair in by_operator_percentiles.items()
    }
    for name, pair in named.items():
        if pair is not None and not (len(pair) == 2 and 0 <= pair[0] < pair[1] <= 100):
            raise ValueError(
                f"{name}: expected 0 <= low < high <= 100, got {', '.join(map(str, pair))}"
            )


def read_statistics(dataset_path: Path, names: Iterable[str]) -> dict[str, array[float]]:
    """The numbers of some statistics over all samples, 8 bytes each; what a sample lacks is left out.

    Raises:
        ValueError: A line is malformed, or no sample has statistics at all.
    """
    found = {name: array("d") for name in sorted(names)}
    seen = False
    with dataset_path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                stats = json.loads(line).get(_STATS)
            except (ValueError, AttributeError) as error:
                raise ValueError(
                    f"{dataset_path}:{number}: expected a sample, a JSON object: {error}"
                ) from error
            seen = seen or bool(stats)
            for name, column in found.items():
                column.extend(_numbers((stats or {}).get(name)))
    if not seen:
        raise ValueError(
            f"{dataset_path}: no sample has statistics ({_STATS}); probe the data set first"
        )
    return found


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, int | float) and each == each]
