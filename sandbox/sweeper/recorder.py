"""Record in a study how its trials end, and describe that in a line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandbox.sweeper.options import Settings
from sandbox.sweeper.runs import Result, Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

PRUNED = "pruned"
INTERRUPTED = "the sweep was interrupted"
GIVEN_UP = "another driver repeats this trial"

_MOST_REPEATS = 2
_LONGEST_ERROR = 2000


class Recorder:
    """Record in a study how its trials end."""

    def __init__(self, study: Study, settings: Settings) -> None:
        self.study = study
        self.settings = settings

    def record(self, trial: Trial, results: Sequence[Result]) -> None:
        """Record the end of a trial: its values, or the one result that has none."""
        from optuna.trial import TrialState

        state = results[0]["state"]
        reason = results[0].get("reason", "")
        if state == "stopped" and reason in (INTERRUPTED, GIVEN_UP):
            self.repeat(trial, reason, counts=False)
        elif state == "stopped" and reason == PRUNED:
            self._end(trial, None, TrialState.PRUNED)
        elif state != "complete":
            self.fail(trial, reason or results[0]["error"])
        else:
            self._complete(trial, results)

    def fail(self, trial: Trial, error: str) -> None:
        """Record a failure with its reason and the tail of its log."""
        from optuna.trial import TrialState

        failed = [run for run in trial.runs if run.result and run.result["state"] != "complete"]
        tails = (run.log_tail() for run in failed)
        self._set(trial, "error", error[:_LONGEST_ERROR])
        self._set(trial, "log_tail", next(filter(None, tails), ""))
        self._end(trial, None, TrialState.FAIL)

    def repeat(self, trial: Trial, why: str, counts: bool = True) -> None:
        """End a trial that was cut short, and have its parameters tried again as a new trial.

        Args:
            trial: The trial.
            why: Why it was cut short.
            counts: Limit how often this happens: a trial that kills its driver is one that fails.
        """
        from optuna.trial import TrialState

        # Through the storage: Optuna has no public way to a trial that another process asked for.
        frozen = self.study._storage.get_trial(trial.trial_id)
        if frozen.state.is_finished():
            return
        num_before = int(frozen.user_attrs.get("repeats", 0))
        if counts and num_before >= _MOST_REPEATS:
            self.fail(trial, f"{why}, for the {num_before + 1}th time")
            return
        self._set(trial, "error", why)
        self._set(trial, "is_repeated", True)
        self._end(trial, None, TrialState.FAIL)
        attributes = {"repeats": num_before + counts, "repeats_trial": trial.number}
        self.study.enqueue_trial(frozen.params, user_attrs=attributes)

    def _complete(self, trial: Trial, results: Sequence[Result]) -> None:
        """Record the values of a trial, the means over its seeds."""
        from optuna.trial import TrialState

        try:
            rows = [self._values(result["value"]) for result in results]
        except ValueError as error:
            self.fail(trial, str(error))
            return
        columns = list(zip(*rows, strict=True))
        if len(rows) > 1:
            self._set(trial, "std", [statistics.stdev(column) for column in columns])
            self._set(trial, "seed_values", rows)
        means = [statistics.fmean(column) for column in columns]
        self._end(trial, means, TrialState.COMPLETE)

    def _values(self, value: Any) -> list[float]:
        """Return the objectives that a run returned.

        Raises:
            ValueError: They are missing, too many, or not numbers.
        """
        given = value if isinstance(value, (list, tuple)) else [value]
        if len(given) != len(self.study.directions):
            raise ValueError(
                f"the run returned {len(given)} values,"
                f" {len(self.study.directions)} have a direction"
            )
        if None in given:
            raise ValueError("the run returned no objective")
        if any(map(math.isnan, given)):
            raise ValueError("the objective is NaN")
        return [float(item) for item in given]

    def _set(self, trial: Trial, name: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(trial.trial_id, name, value)

    def _end(self, trial: Trial, values: Any, state: Any) -> None:
        try:
            self.study.tell(trial.number, values, state, skip_if_finished=True)
        except RuntimeError as error:  # a finished grid wants to stop a loop that is not Optuna's
            if "Study.stop" not in str(error):
                raise


def num_done(study: Study, settings: Settings) -> int:
    """Return how many trials count towards ``n_trials``; of a grid's points also failed ones."""
    from optuna.trial import TrialState

    states = [TrialState.COMPLETE, TrialState.PRUNED]
    num_ended = len(study.get_trials(deepcopy=False, states=states))
    return num_ended + len(_failed(study)) if settings.is_grid else num_ended


def num_failed(study: Study, since: float) -> int:
    """Return how many trials failed after ``since`` (epoch), without those that are repeated."""
    ends = [trial.datetime_complete for trial in _failed(study)]
    return sum(end is not None and end.timestamp() >= since for end in ends)


def _failed(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [trial for trial in failed if not trial.user_attrs.get("is_repeated")]


def end_text(study: Study, number: int) -> str:
    """Describe the end of a trial in a line."""
    trial = study.get_trials(deepcopy=False)[number]
    name = trial.state.name.lower()
    if name == "complete":
        return f"trial {number}: {values_text(trial)}"
    if name == "pruned":
        return f"trial {number}: pruned at step {trial.last_step}"
    if trial.user_attrs.get("is_repeated"):
        return f"trial {number}: cut short: {error_text(trial)}, is repeated"
    return f"trial {number}: failed: {error_text(trial)}"


def error_text(trial: FrozenTrial) -> str:
    """Return why a trial failed, in a line; empty if it did not."""
    return "; ".join(str(trial.user_attrs.get("error", "")).strip().splitlines()[:2])


def progress_text(study: Study, settings: Settings, failed: int) -> str:
    """Describe the progress of a study."""
    best = ""
    if len(study.directions) == 1:
        with suppress(ValueError):  # none is complete
            best = f"best {study.best_trial.value:.6g} (trial {study.best_trial.number}), "
    else:
        best = f"{len(study.best_trials)} on the Pareto front, "
    fails = f", {failed} failed" if failed else ""
    return f"{best}{num_done(study, settings)} of {settings.n_trials} done{fails}"


def values_text(trial: FrozenTrial) -> str:
    """Describe the values of a completed trial."""
    spread = trial.user_attrs.get("std")
    if not spread:
        return ", ".join(f"{value:.6g}" for value in trial.values)
    num_seeds = len(trial.user_attrs["seed_values"])
    pairs = [f"{value:.6g} ± {std:.3g}" for value, std in zip(trial.values, spread, strict=True)]
    return f"{', '.join(pairs)} ({num_seeds} seeds)"
