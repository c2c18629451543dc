"""Probe data sets in any other way, ranking included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.hooks import ComponentHook
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True, kw_only=True)
class GeneralProbeHook(ComponentHook):
    """Probe data pools with ``probe``, for example rank them."""

    RESULTS_FROM: ClassVar[str] = "probe"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("probe_jobs",)

    probe: BaseDataPoolManipulator
