"""``hydra/sweeper=optuna_async``: an Optuna sweeper that keeps its slots busy and can be resumed.

Hydra imports this module at every start: it is light, and the work is in its siblings.
"""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sandbox.sweeper import config as config  # registers the options


class OptunaAsyncSweeper(Sweeper):
    """Ask Optuna for a trial whenever a slot is free, and record how each trial ended.

    Takes the arguments of :class:`~sandbox.sweeper.config.OptunaAsyncConf`.

    Raises:
        PlanError: In the sweep, before anything is submitted: it cannot be done as asked.
        JobFailed: More trials failed than allowed, or none was completed.
    """

    def __init__(self, **options: Any) -> None:
        """Ignore the options: they are read together, from the composed config."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._set_up = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> None:
        from sandbox.sweeper.sweep import sweep

        sweep(*self._set_up, arguments)
