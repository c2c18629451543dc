"""Probe data sets in any other way, ranking included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.hooks import BaseHook
from sandbox.job import JobScope
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True, kw_only=True)
class GeneralProbeHook(BaseHook):
    """Probe data pools with ``probe``, for example rank them."""

    RESULTS_FROM: ClassVar[str] = "probe"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs",)

    probe: BaseDataPoolManipulator

    def run(self, *, scope: JobScope) -> Any:
        return self.probe.run(scope=scope)
