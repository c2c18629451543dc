"""Let a model generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class InferModelHook:
    """Let a model generate output for given input with ``executor``."""

    executor: BaseModelExecutor
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        return self.executor.run(
            output_dir=scope.output_dir, log_path=scope.log_path, watch=scope.watch
        )
