"""Judge running trials: prune those that do not look good, and end those whose time is up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.sweeper.options import Settings
from sandbox.sweeper.recorder import PRUNED
from sandbox.sweeper.runs import Result, Trial
from sandbox.system.wording import did_you_mean

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)


class Judge:
    """Judge the running trials of a study, each by its first seed."""

    def __init__(self, study: Study, settings: Settings) -> None:
        self.study = study
        self.settings = settings
        self._has_warned = False

    def watch_over(self, trial: Trial) -> None:
        """Stop a trial whose time is up, or that the pruner does not want to continue."""
        limit = self.settings.timeout_min
        if limit is not None and any(run.seconds() > 60 * limit for run in trial.runs):
            trial.stop(f"timed out after {limit:g} min")
        self.report_values(trial)

    def report_values(self, trial: Trial) -> None:
        """Report new values of the pruner's metric to the study; the pruner judges each."""
        metric, storage = self.settings.prune_on, self.study._storage
        for step, value in trial.runs[0].new_values(metric) if metric else ():
            number = trial.last_step + 1 if step is None else int(step)
            # A step that is not new comes from the next iteration, which counts from the start.
            if trial.is_stopped or number <= trial.last_step:
                continue
            trial.last_step = number
            judged = self.settings.judged(value)
            storage.set_trial_intermediate_value(trial.trial_id, number, judged)
            # The pruner is asked directly: a trial of this driver has no optuna.Trial object here.
            if self.study.pruner.prune(self.study, storage.get_trial(trial.trial_id)):
                trial.stop(PRUNED)

    def warn_if_unjudged(self, trial: Trial, results: Sequence[Result]) -> None:
        """Warn once about a metric that never comes: a misspelt name prunes nothing, silently."""
        metric, names = self.settings.prune_on, trial.runs[0].metrics
        is_complete = results[0]["state"] == "complete"
        if metric is not None and is_complete and metric not in names and not self._has_warned:
            self._has_warned = True
            log.warning(
                "hydra.sweeper.prune_on: trial %d recorded no %s, and was not judged; %s",
                trial.number,
                metric,
                did_you_mean(metric, sorted(names)),
            )
