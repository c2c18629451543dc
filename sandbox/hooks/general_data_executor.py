"""Make or convert data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class GeneralDataExecutorHook:
    """Run any data executor: make a data set, convert a format, generate meta files."""

    executor: BaseDataExecutor
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        return self.executor.run(output_dir=scope.output_dir, log_path=scope.log_path)
