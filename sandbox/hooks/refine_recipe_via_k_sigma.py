"""Refine a recipe from the statistics of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import JobScope, Outputs
from sandbox.recipes import check_recipe, load_recipe
from sandbox.recipes.k_sigma import check_k, refine_by_k_sigma
from sandbox.recipes.refinement import check_operators


@dataclass(frozen=True)
class RefineRecipeViaKSigmaHook:
    """Set the thresholds of a recipe to mean ± k standard deviations; see ``refine_by_k_sigma``.

    Outputs:
        recipe: The refined recipe, for a job's ``recipe``.
        recipe_path: The same as a file that ``dj-process`` reads, ``process`` as a list.
        diff_path: What changed and why, as comments over a unified diff; it stands in the log too.

    Args:
        statistics: Summary of the data's statistics, as ``ProbeViaAnalyzerHook`` gives it.
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list.
        recipe_path: A YAML recipe file of Data-Juicer; ``recipe`` is laid over it.
        k: Number of standard deviations.
        k_by_operator: Another k for single operators; ``None`` leaves one untouched.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("recipe", "recipe_path", "diff_path")
    VERSION: ClassVar[int] = 2
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("refine_recipe_jobs",)

    statistics: Mapping[str, Any]
    recipe: Mapping[str, Any] | None = None
    recipe_path: Path | None = None
    k: float = 3.0
    k_by_operator: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_recipe(self.recipe, self.recipe_path)
        check_k(self.k, self.k_by_operator)
        if self.recipe_path is None or self.recipe_path.is_file():  # else an earlier job makes it
            recipe = load_recipe(self.recipe, self.recipe_path)
            check_operators("k_by_operator", self.k_by_operator, recipe)

    def run(self, scope: JobScope) -> Outputs:
        """Write the refined recipe and the diff."""
        recipe = load_recipe(self.recipe, self.recipe_path)
        refinement = refine_by_k_sigma(recipe, self.statistics, self.k, self.k_by_operator)
        return refinement.write(scope.output_dir, scope.log_path)
