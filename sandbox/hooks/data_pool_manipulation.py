"""Manipulate data pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.job import JobScope, Outputs
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True)
class DataPoolManipulationHook:
    """Construct, combine, sample or otherwise manipulate data pools with ``manipulator``."""

    manipulator: BaseDataPoolManipulator
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        return self.manipulator.run(output_dir=scope.output_dir)
