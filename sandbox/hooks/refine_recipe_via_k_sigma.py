"""Refine a recipe from the statistics of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sandbox.job import JobScope, Outputs
from sandbox.recipes import process_list
from sandbox.recipes.k_sigma import refine, to_yaml


@dataclass(frozen=True)
class RefineRecipeViaKSigmaHook:
    """Set the thresholds of a recipe to mean ± k standard deviations of the data; see ``k_sigma.refine``.

    Outputs:
        recipe: The refined recipe, for an executor's ``recipe``.
        recipe_path: The same as a file that ``dj-process`` reads, ``process`` as a list.
        diff_path: What changed, as a unified diff, and what stays untouched and why.

    Args:
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list.
        statistics: Summary of the data's statistics, as ``ProbeViaAnalyzerHook`` gives it.
        k: Number of standard deviations.
        k_by_operator: Another k for single operators; ``None`` leaves one untouched.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("recipe", "recipe_path", "diff_path")
    VERSION: ClassVar[int] = 1

    recipe: Mapping[str, Any]
    statistics: Mapping[str, Any]
    k: float = 3.0
    k_by_operator: Mapping[str, float | None] = field(default_factory=dict)

    def run(self, scope: JobScope) -> Outputs:
        """Write the refined recipe and the diff."""
        refinement = refine(self.recipe, self.statistics, self.k, self.k_by_operator)
        recipe_path = scope.output_dir / "recipe.yaml"
        as_list = {**refinement.recipe, "process": process_list(refinement.recipe)}
        recipe_path.write_text(to_yaml(as_list), encoding="utf-8")
        diff_path = scope.output_dir / "recipe.diff"
        diff_path.write_text(refinement.diff(), encoding="utf-8")
        return {"recipe": refinement.recipe, "recipe_path": recipe_path, "diff_path": diff_path}
