"""Let a model generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.hooks import ComponentHook


@dataclass(frozen=True, kw_only=True)
class InferModelHook(ComponentHook):
    """Let a model generate, such as captions, with ``executor``."""

    RESULTS_FROM: ClassVar[str] = "executor"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("execution_jobs",)

    executor: BaseModelExecutor
