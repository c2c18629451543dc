"""What a sweep leaves in its folder, and the last lines that it prints."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sandbox.sweeper import ending
from sandbox.system.files import write_durably

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_MOST_SHOWN = 10


def write_results(study: Study, folder: Path, command: Callable[[FrozenTrial], str]) -> None:
    """Write ``trials.csv`` and, once a trial is complete, ``optimization_results.yaml``.

    The YAML has hydra-optuna-sweeper's keys, ``command`` beside them.
    """
    trials = study.get_trials(deepcopy=False)
    write_durably(folder / "trials.csv", _table(trials, len(study.directions)))
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
        found |= {"std": best[0].user_attrs["std"][0]} if "std" in best[0].user_attrs else {}
        found["command"] = command(best[0])
    else:
        found["solutions"] = [
            {
                "params": dict(trial.params),
                "values": list(trial.values),
                "trial": trial.number,
                "command": command(trial),
            }
            for trial in best
        ]
    write_durably(
        folder / "optimization_results.yaml", yaml.safe_dump(found, sort_keys=False, width=1000)
    )


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial, or those on the Pareto front; empty while none is complete."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return [study.best_trial] if len(study.directions) == 1 else study.best_trials


def last_lines(study: Study, folder: Path, command: Callable[[FrozenTrial], str]) -> str:
    """The best trial, its parameters and the command that reruns it; of several objectives, the front's."""
    lines = [f"everything about this sweep: {folder}"]
    best = best_trials(study)
    if len(study.directions) > 1:
        lines.append(f"{len(best)} trials on the Pareto front")
    for trial in best[:_MOST_SHOWN]:
        lines.append(f"best trial: {trial.number}, {ending.shown(trial)}")
        lines += [f"  {name} = {value}" for name, value in trial.params.items()]
        lines.append(command(trial))
    return "\n".join(lines)


def rerun(overrides: list[str]) -> str:
    """A run's command line, quoted for a shell."""
    return shlex.join(["python", "-m", "sandbox", *overrides])


def _table(trials: list[FrozenTrial], num_objectives: int) -> str:
    values = (
        ["value"] if num_objectives == 1 else [f"value_{index}" for index in range(num_objectives)]
    )
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["trial", "state", *values, "std", "seconds", *params, "error"])
    for trial in trials:
        numbers = list(trial.values or [None] * num_objectives)
        seconds = round(trial.duration.total_seconds(), 1) if trial.duration else None
        spread = trial.user_attrs.get("std")
        writer.writerow(
            [
                trial.number,
                trial.state.name.lower(),
                *numbers,
                " ".join(map(str, spread)) if spread else None,
                seconds,
                *(trial.params.get(name) for name in params),
                ending.error_of(trial),
            ]
        )
    return file.getvalue()
