"""Refine a recipe from the statistics of its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import JobScope, Outputs
from sandbox.recipes import check_recipe, load_recipe
from sandbox.recipes.percentiles import check_percentiles, refine_by_percentiles
from sandbox.recipes.refinement import check_operators


@dataclass(frozen=True)
class RefineRecipeViaPercentilesHook:
    """Set the thresholds of a recipe to percentiles of the data; see ``refine_by_percentiles``.

    Outputs:
        recipe: The refined recipe, for a job's ``recipe``.
        recipe_path: The same as a file that ``dj-process`` reads, ``process`` as a list.
        diff_path: What changed and why, as comments over a unified diff; it stands in the log too.

    Args:
        dataset_path: Samples with their statistics, as ``ProbeViaAnalyzerHook`` writes them.
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list.
        recipe_path: A YAML recipe file of Data-Juicer; ``recipe`` is laid over it.
        low: Percentile of the lower sides, from 0.
        high: Percentile of the upper sides, to 100.
        percentiles_by_operator: Another ``[low, high]`` for single operators; ``None`` leaves one untouched.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("recipe", "recipe_path", "diff_path")
    VERSION: ClassVar[int] = 1
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("refine_recipe_jobs",)

    dataset_path: Path
    recipe: Mapping[str, Any] | None = None
    recipe_path: Path | None = None
    low: float = 5.0
    high: float = 95.0
    percentiles_by_operator: Mapping[str, Sequence[float] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_recipe(self.recipe, self.recipe_path)
        check_percentiles(self.low, self.high, self.percentiles_by_operator)
        if self.recipe_path is None or self.recipe_path.is_file():  # else an earlier job makes it
            recipe = load_recipe(self.recipe, self.recipe_path)
            check_operators("percentiles_by_operator", self.percentiles_by_operator, recipe)

    def run(self, scope: JobScope) -> Outputs:
        """Write the refined recipe and the diff."""
        recipe = load_recipe(self.recipe, self.recipe_path)
        percentiles = (self.low, self.high, self.percentiles_by_operator)
        refinement = refine_by_percentiles(recipe, self.dataset_path, *percentiles)
        return refinement.write(scope.output_dir, scope.log_path)
