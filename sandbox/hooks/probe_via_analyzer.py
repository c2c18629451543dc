"""Probe a data set through an analyzer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.executors import BaseRecipeExecutor
from sandbox.hooks import RecipeExecutionHook
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class ProbeViaAnalyzerHook(RecipeExecutionHook):
    """Measure the quality and diversity of a data set with ``analyzer``; nothing is filtered.

    Args:
        analyzer: Computes the statistics of the recipe's filters.
    """

    RESULTS_FROM: ClassVar[str] = "analyzer"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs", "evaluation_jobs")

    analyzer: BaseRecipeExecutor

    def run(self, *, scope: JobScope) -> Any:
        return self._execute(self.analyzer, scope)
