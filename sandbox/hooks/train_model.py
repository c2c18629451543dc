"""Train a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class TrainModelHook:
    """Train a model with ``executor``; the metrics that it reports are watched while it trains."""

    executor: BaseModelExecutor
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        return self.executor.run(
            output_dir=scope.output_dir, log_path=scope.log_path, watch=scope.watch
        )
