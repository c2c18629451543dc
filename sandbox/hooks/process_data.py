"""Process a data set by a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class ProcessDataHook:
    """Process and clean a data set by the present recipe with ``executor``; its counts are watched."""

    executor: BaseDataExecutor
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        outputs = self.executor.run(output_dir=scope.output_dir, log_path=scope.log_path)
        scope.watch(outputs)
        return outputs
