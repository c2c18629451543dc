"""Let a model generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.hooks import BaseHook
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class InferModelHook(BaseHook):
    """Let a model generate, such as captions, with ``executor``."""

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseModelExecutor

    def run(self, *, scope: JobScope) -> Any:
        return self.executor.run(scope=scope)
