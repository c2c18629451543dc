"""Probe data sets in any other way, ranking included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.job import JobScope, Outputs
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True)
class GeneralProbeHook:
    """Probe data pools with ``probe``, for example rank them."""

    probe: BaseDataPoolManipulator
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        return self.probe.run(output_dir=scope.output_dir)
