"""Probe a data set through an analyzer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.executors import BaseRecipeExecutor
from sandbox.job import JobScope, Outputs
from sandbox.recipes import check_recipe, load_recipe


@dataclass(frozen=True)
class ProbeViaAnalyzerHook:
    """Measure the quality and diversity of a data set with ``analyzer``; its statistics are watched.

    Args:
        analyzer: What computes the statistics.
        dataset_path: Data set in Data-Juicer's format, JSON Lines.
        recipe: Data-Juicer's own keys; its filters' statistics are computed, nothing is filtered.
        recipe_path: A YAML recipe file of Data-Juicer; ``recipe`` is laid over it.
    """

    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs", "evaluation_jobs")

    analyzer: BaseRecipeExecutor
    dataset_path: Path
    recipe: Mapping[str, Any] | None = None
    recipe_path: Path | None = None

    def __post_init__(self) -> None:
        check_recipe(self.recipe, self.recipe_path)

    def run(self, scope: JobScope) -> Outputs:
        outputs = self.analyzer.run(
            self.dataset_path,
            load_recipe(self.recipe, self.recipe_path),
            output_dir=scope.output_dir,
            log_path=scope.log_path,
            cache_dir=scope.cache_dir,
        )
        scope.watch(outputs)
        return outputs
