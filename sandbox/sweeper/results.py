"""The results of a sweep: files in its folder, and the last lines that it prints."""

from __future__ import annotations

import csv
import io
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sandbox.sweeper import recorder
from sandbox.sweeper.options import Settings
from sandbox.sweeper.space import SearchSpace
from sandbox.system.files import write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study
    from optuna.trial import FrozenTrial

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Sweep:
    """A checked sweep.

    Args:
        study: The study, with its sampler and pruner.
        space: The search space.
        settings: The sweeper's options.
        folder: Folder of the sweep.
        watcher_overrides: Overrides that every trial gets so that trackers group the trials.
    """

    study: Study
    space: SearchSpace
    settings: Settings
    folder: Path
    watcher_overrides: tuple[str, ...] = ()

    def overrides(self, params: Mapping[str, Any], seed: int | None) -> list[str]:
        """Return the overrides that a point stands for, with one seed where there are seeds."""
        given = [*self.space.fixed, *self.space.overrides(params)]
        return [*given, *self.settings.seed_overrides(seed)]

    def command(self, trial: FrozenTrial) -> str:
        """Return the command that reruns a trial, with its first seed, quoted for a shell."""
        overrides = self.overrides(trial.params, next(iter(self.settings.seeds), None))
        kept = [text for text in overrides if not text.startswith("force=")]
        return shlex.join(["python", "-m", "sandbox", *kept])


def write_results(sweep: Sweep) -> None:
    """Write ``trials.csv`` and, once a trial is complete, ``optimization_results.yaml``.

    The YAML has the keys of hydra-optuna-sweeper, and ``command``.
    """
    study = sweep.study
    trials = study.get_trials(deepcopy=False)
    write_durably(sweep.folder / "trials.csv", _table(trials, len(study.directions)))
    best = best_trials(study)
    if not best:
        return
    found: dict[str, Any] = {"name": "optuna", "study_name": study.study_name}
    if len(study.directions) == 1:
        found |= {
            "best_params": dict(best[0].params),
            "best_value": best[0].value,
            "best_trial": best[0].number,
        }
        if "std" in best[0].user_attrs:
            found["std"] = best[0].user_attrs["std"][0]
        found["command"] = sweep.command(best[0])
    else:
        found["solutions"] = [
            {
                "params": dict(trial.params),
                "values": list(trial.values),
                "trial": trial.number,
                "command": sweep.command(trial),
            }
            for trial in best
        ]
    text = yaml.safe_dump(found, sort_keys=False, width=1000)
    write_durably(sweep.folder / "optimization_results.yaml", text)


def best_trials(study: Study) -> list[FrozenTrial]:
    """Return the best trial, or those on the Pareto front; empty while none is complete."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return [study.best_trial] if len(study.directions) == 1 else study.best_trials


def last_lines(sweep: Sweep) -> str:
    """Describe the best trials with their parameters and the commands that rerun them."""
    lines = [f"everything about this sweep: {sweep.folder}"]
    best = best_trials(sweep.study)
    if len(sweep.study.directions) > 1:
        lines.append(f"{len(best)} trials on the Pareto front")
    for trial in best[:_MOST_SHOWN]:
        lines.append(f"best trial: {trial.number}, {recorder.values_text(trial)}")
        lines += [f"  {name} = {value}" for name, value in trial.params.items()]
        lines.append(sweep.command(trial))
    return "\n".join(lines)


def _table(trials: list[FrozenTrial], num_objectives: int) -> str:
    """Return all trials as CSV."""
    values = ["value"]
    if num_objectives > 1:
        values = [f"value_{index}" for index in range(num_objectives)]
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["trial", "state", *values, "std", "seconds", *params, "error"])
    for trial in trials:
        spread = trial.user_attrs.get("std")
        row = [
            trial.number,
            trial.state.name.lower(),
            *(trial.values or [None] * num_objectives),
            " ".join(map(str, spread)) if spread else None,
            round(trial.duration.total_seconds(), 1) if trial.duration else None,
            *(trial.params.get(name) for name in params),
            recorder.error_text(trial),
        ]
        writer.writerow(row)
    return file.getvalue()
