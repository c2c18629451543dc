"""Process a data set by a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.executors import BaseRecipeExecutor
from sandbox.hooks import RecipeExecutionHook
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class ProcessDataHook(RecipeExecutionHook):
    """Process and clean a data set by the present recipe with ``executor``.

    Args:
        executor: Runs the recipe's operators.
    """

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseRecipeExecutor

    def run(self, *, scope: JobScope) -> Any:
        return self._execute(self.executor, scope)
