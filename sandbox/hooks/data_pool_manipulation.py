"""Manipulate data pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.hooks import ComponentHook
from sandbox.pools import BaseDataPoolManipulator


@dataclass(frozen=True, kw_only=True)
class DataPoolManipulationHook(ComponentHook):
    """Construct, combine, sample or otherwise manipulate data pools with ``manipulator``."""

    RESULTS_FROM: ClassVar[str] = "manipulator"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    manipulator: BaseDataPoolManipulator
