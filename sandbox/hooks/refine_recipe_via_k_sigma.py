"""Refine a recipe from the mean and deviation of its data's statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.hooks import RefineRecipeHook, known_operators
from sandbox.job import PositiveFloat, rule
from sandbox.recipes.k_sigma import refine_by_k_sigma
from sandbox.recipes.refinement import Refinement


@dataclass(frozen=True, kw_only=True)
class RefineRecipeViaKSigmaHook(RefineRecipeHook):
    """Set the thresholds of a recipe to mean ± k standard deviations; see ``refine_by_k_sigma``.

    Args:
        statistics: Summary of the data's statistics, as ``ProbeViaAnalyzerHook`` gives it.
        k: Number of standard deviations.
        k_by_operator: Another k for single operators; ``None`` leaves one untouched.
    """

    VERSION: ClassVar[int] = 3

    statistics: Mapping[str, Any]
    k: PositiveFloat = 3.0
    k_by_operator: Mapping[str, PositiveFloat | None] = field(default_factory=dict)

    @rule
    def _operators_are_known(
        k_by_operator: Mapping[str, Any],
        recipe: Mapping[str, Any] | None,
        recipe_path: Path | None,
    ) -> None:
        known_operators("k_by_operator", k_by_operator, recipe, recipe_path)

    def refine(self, recipe: Mapping[str, Any]) -> Refinement:
        return refine_by_k_sigma(recipe, self.statistics, self.k, self.k_by_operator)
