"""How a trial ends in the study, and what is said of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandbox.sweeper.runs import Result, Trial
from sandbox.sweeper.settings import Settings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

PRUNED = "pruned"
INTERRUPTED = "the sweep was interrupted"
GIVEN_UP = "another driver repeats this trial"

_MOST_REPEATS = 2


class Ending:
    """Tells a study how its trials ended.

    Args:
        study: The study.
        settings: What the sweeper was told.
        driver: Name of the driver.
    """

    def __init__(self, study: Study, settings: Settings, driver: str) -> None:
        self.study = study
        self.settings = settings
        self.driver = driver

    def tell(self, trial: Trial, results: Sequence[Result]) -> None:
        """Tell how ``trial`` ended: its values, or the one result that is none."""
        from optuna.trial import TrialState

        state = results[0]["state"]
        reason = results[0].get("reason", "")
        if state == "stopped" and reason in (INTERRUPTED, GIVEN_UP):
            self.repeat(trial, reason, counts=False)
        elif state == "stopped" and reason == PRUNED:
            self._tell(trial, None, TrialState.PRUNED)
        elif state != "complete":
            self.fail(trial, reason or results[0]["error"])
        else:
            try:
                columns = [self._values(result["value"]) for result in results]
            except ValueError as error:
                self.fail(trial, str(error))
                return
            values = [statistics.fmean(column) for column in zip(*columns, strict=True)]
            if len(columns) > 1:
                spread = [statistics.stdev(column) for column in zip(*columns, strict=True)]
                self._attribute(trial, "std", spread)
                self._attribute(trial, "seed_values", columns)
            self._tell(trial, values, TrialState.COMPLETE)

    def fail(self, trial: Trial, error: str) -> None:
        """Record a failure with its reason and the tail of its log."""
        from optuna.trial import TrialState

        tails = [
            run.log_tail() for run in trial.runs if run.result and run.result["state"] != "complete"
        ]
        self._attribute(trial, "error", error[:2000])
        self._attribute(trial, "log_tail", next(filter(None, tails), ""))
        self._tell(trial, None, TrialState.FAIL)

    def repeat(self, trial: Trial, why: str, counts: bool = True) -> None:
        """Close a trial that was cut short, and have its parameters tried again under a new number.

        ``counts`` limits how often: a trial that takes its driver with it is one that fails.
        """
        from optuna.trial import TrialState

        frozen = self.study._storage.get_trial(trial.trial_id)
        if frozen.state.is_finished():
            return
        num_before = int(frozen.user_attrs.get("repeats", 0))
        if counts and num_before >= _MOST_REPEATS:
            self.fail(trial, f"{why}, for the {num_before + 1}th time")
            return
        self._attribute(trial, "error", why)
        self._attribute(trial, "is_repeated", True)
        self._tell(trial, None, TrialState.FAIL)
        attributes = {"repeats": num_before + counts, "repeats_trial": trial.number}
        self.study.enqueue_trial(frozen.params, user_attrs=attributes)

    def _values(self, value: Any) -> list[float]:
        """Raises ValueError: these are not the objective's numbers."""
        given = value if isinstance(value, (list, tuple)) else [value]
        if len(given) != len(self.study.directions):
            raise ValueError(
                f"the run returned {len(given)} values, {len(self.study.directions)} have a direction"
            )
        for item in given:
            if item is None:
                raise ValueError("the run returned no objective")
            if math.isnan(item):
                raise ValueError("the objective is NaN")
        return [float(item) for item in given]

    def _attribute(self, trial: Trial, name: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(trial.trial_id, name, value)

    def _tell(self, trial: Trial, values: Any, state: Any) -> None:
        try:
            self.study.tell(trial.number, values, state, skip_if_finished=True)
        except RuntimeError as error:  # a finished grid wants to stop a loop that is not Optuna's
            if "Study.stop" not in str(error):
                raise


def num_done(study: Study, settings: Settings) -> int:
    """Trials that count towards ``n_trials``; of a grid's points the failed ones too."""
    from optuna.trial import TrialState

    states = [TrialState.COMPLETE, TrialState.PRUNED]
    done = len(study.get_trials(deepcopy=False, states=states))
    return done + len(_failed(study)) if settings.is_grid else done


def num_failed(study: Study, since: float) -> int:
    """Trials that failed after ``since``, seconds of the epoch; not those that are tried again."""
    return sum(
        trial.datetime_complete is not None and trial.datetime_complete.timestamp() >= since
        for trial in _failed(study)
    )


def _failed(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [trial for trial in failed if not trial.user_attrs.get("is_repeated")]


def told(study: Study, number: int) -> str:
    """One line about a trial that ended."""
    trial = study.get_trials(deepcopy=False)[number]
    name = trial.state.name.lower()
    if name == "complete":
        return f"trial {number}: {shown(trial)}"
    if name == "pruned":
        return f"trial {number}: pruned at step {trial.last_step}"
    again = ", is repeated" if trial.user_attrs.get("is_repeated") else ""
    return f"trial {number}: {'cut short' if again else 'failed'}: {error_of(trial)}{again}"


def error_of(trial: FrozenTrial) -> str:
    """Why a trial failed, in a line; empty if it did not."""
    return "; ".join(str(trial.user_attrs.get("error", "")).strip().splitlines()[:2])


def progress(study: Study, settings: Settings, failed: int) -> str:
    """How far the study is."""
    best = ""
    if len(study.directions) == 1:
        with suppress(ValueError):  # none is complete
            best = f"best {study.best_trial.value:.6g} (trial {study.best_trial.number}), "
    else:
        best = f"{len(study.best_trials)} on the Pareto front, "
    fails = f", {failed} failed" if failed else ""
    return f"{best}{num_done(study, settings)} of {settings.n_trials} done{fails}"


def shown(trial: FrozenTrial) -> str:
    """The values of a trial that was completed."""
    spread = trial.user_attrs.get("std")
    if not spread:
        return ", ".join(f"{value:.6g}" for value in trial.values)
    num_seeds = len(trial.user_attrs["seed_values"])
    pairs = [f"{value:.6g} ± {std:.3g}" for value, std in zip(trial.values, spread, strict=True)]
    return f"{', '.join(pairs)} ({num_seeds} seeds)"
