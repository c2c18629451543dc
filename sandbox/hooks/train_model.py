"""Train a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.hooks import ComponentHook


@dataclass(frozen=True, kw_only=True)
class TrainModelHook(ComponentHook):
    """Train a model with ``executor``; the metrics that it reports are watched while it trains."""

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseModelExecutor
