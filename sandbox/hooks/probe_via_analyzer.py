"""Probe a data set through an analyzer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class ProbeViaAnalyzerHook:
    """Measure the quality and diversity of a data set with ``analyzer``; its statistics are watched."""

    analyzer: BaseDataExecutor
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs", "evaluation_jobs")

    def run(self, scope: JobScope) -> Outputs:
        outputs = self.analyzer.run(output_dir=scope.output_dir, log_path=scope.log_path)
        scope.watch(outputs)
        return outputs
