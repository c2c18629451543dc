"""Make or convert data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.hooks import BaseHook
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class GeneralDataExecutorHook(BaseHook):
    """Make or convert data with ``executor``."""

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseDataExecutor

    def run(self, *, scope: JobScope) -> Any:
        return self.executor.run(scope=scope)
