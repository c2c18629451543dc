"""Manipulate data pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.hooks import BaseHook
from sandbox.job import JobScope
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True, kw_only=True)
class DataPoolManipulationHook(BaseHook):
    """Construct, combine, sample or otherwise manipulate data pools with ``manipulator``."""

    RESULTS_FROM: ClassVar[str] = "manipulator"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    manipulator: BaseDataPoolManipulator

    def run(self, *, scope: JobScope) -> Any:
        return self.manipulator.run(scope=scope)
