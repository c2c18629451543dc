"""Refine a recipe from the percentiles of its data's statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.hooks import RefineRecipeHook, known_operators
from sandbox.job import rule
from sandbox.recipes.percentiles import check_percentiles, refine_by_percentiles
from sandbox.recipes.refinement import Refinement


@dataclass(frozen=True, kw_only=True)
class RefineRecipeViaPercentilesHook(RefineRecipeHook):
    """Set the thresholds of a recipe to percentiles of the data; see ``refine_by_percentiles``.

    Args:
        dataset_path: Samples with their statistics, as ``ProbeViaAnalyzerHook`` writes them.
        low: Percentile of the lower sides, from 0.
        high: Percentile of the upper sides, to 100.
        percentiles_by_operator: Another ``[low, high]`` for single operators; ``None`` leaves one
            untouched.
    """

    VERSION: ClassVar[int] = 2

    dataset_path: Path
    low: float = 5.0
    high: float = 95.0
    percentiles_by_operator: Mapping[str, Sequence[float] | None] = field(default_factory=dict)

    @rule
    def _percentiles_are_ordered(
        low: float, high: float, percentiles_by_operator: Mapping[str, Any]
    ) -> None:
        check_percentiles(low, high, percentiles_by_operator)

    @rule
    def _operators_are_known(
        percentiles_by_operator: Mapping[str, Any],
        recipe: Mapping[str, Any] | None,
        recipe_path: Path | None,
    ) -> None:
        known_operators("percentiles_by_operator", percentiles_by_operator, recipe, recipe_path)

    def refine(self, recipe: Mapping[str, Any]) -> Refinement:
        return refine_by_percentiles(
            recipe, self.dataset_path, self.low, self.high, self.percentiles_by_operator
        )
