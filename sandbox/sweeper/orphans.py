"""Trials whose driver is gone: taken up where they run, repeated where they do not."""

from __future__ import annotations

import logging
import time
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.sweeper import recorder
from sandbox.sweeper.recorder import Recorder
from sandbox.sweeper.runs import Run, Trial
from sandbox.sweeper.study import locked
from sandbox.system.liveness import Observer

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_POLL_S = 2.0


class Orphans:
    """Trials of a study that run, or seem to run, without a driver.

    Args:
        study: The study.
        folder: Folder of the sweep.
        driver: Name of the driver that takes them up.
        recorder: Records those that are repeated.
    """

    def __init__(self, study: Study, folder: Path, driver: str, recorder: Recorder) -> None:
        self.study = study
        self.folder = folder
        self.driver = driver
        self.recorder = recorder
        self._observers: dict[str, Observer] = {}
        self._suspects: dict[int, Trial] = {}
        self._looked = -_POLL_S

    def take_up(self, own: Container[int]) -> list[Trial]:
        """Return the trials that go on without a driver, from now on this one's; now and then.

        Trials whose process is gone too are repeated.

        Args:
            own: Numbers of the trials that the driver has already.
        """
        if time.monotonic() - self._looked < _POLL_S:
            return []
        self._looked = time.monotonic()
        if all(frozen.number in own for frozen in running(self.study)):
            return []
        taken = []
        with locked(self.folder):
            for frozen in running(self.study):
                if frozen.number not in own and not self._has_driver(frozen):
                    trial = self._suspect(frozen)
                    if self._is_taken(frozen, trial):
                        taken.append(trial)
        return taken

    def _has_driver(self, frozen: FrozenTrial) -> bool:
        name = str(frozen.user_attrs.get("run", {}).get("driver"))
        path = self.folder / "drivers" / f"{name}.json"
        return self._observers.setdefault(name, Observer(path)).is_alive()

    def _suspect(self, frozen: FrozenTrial) -> Trial:
        """Return a trial with its runs; the same at every look, because observing takes time."""
        if frozen.number not in self._suspects:
            about = frozen.user_attrs.get("run", {"runs": [], "is_slurm": False})
            runs = [Run(self.folder / name, [], about["is_slurm"]) for name in about["runs"]]
            last_step = max(frozen.intermediate_values, default=-1)
            trial = Trial(frozen.number, frozen._trial_id, runs, last_step)
            self._suspects[frozen.number] = trial
        return self._suspects[frozen.number]

    def _is_taken(self, frozen: FrozenTrial, trial: Trial) -> bool:
        """Take a trial up if it goes on or has ended in order; repeat it if it is lost."""
        results = [run.look() for run in trial.runs]
        if not trial.runs or any(result and result["state"] == "lost" for result in results):
            trial.stop(recorder.GIVEN_UP)
            self.recorder.repeat(trial, "its driver and its process are gone")
            log.info("%s", recorder.end_text(self.study, frozen.number))
            return False
        if not all(run.result or run.is_known_to_go_on() for run in trial.runs):
            return False
        state = "it has ended" if all(results) else "it still runs, and is awaited"
        log.info("trial %d of an earlier driver: %s", frozen.number, state)
        about = {**frozen.user_attrs["run"], "driver": self.driver}
        self.study._storage.set_trial_user_attr(frozen._trial_id, "run", about)
        return True


def running(study: Study) -> list[FrozenTrial]:
    """Return the trials that the study has as running, of all drivers."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
