"""Make or convert data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.hooks import ComponentHook


@dataclass(frozen=True, kw_only=True)
class GeneralDataExecutorHook(ComponentHook):
    """Make or convert data with ``executor``."""

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseDataExecutor
