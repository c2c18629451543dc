"""Sweeps of a toy project."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

from toy_project import Outcome, Project, data_job, experiment, finish


class Sweeps:
    """Sweeps of a project with the experiments ``chain`` (a training) and ``one`` (a value).

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        train: dict[str, Any] = {"_target_": "toys.Training", "dataset_path": "${output:data.path}"}
        train |= {"learning_rate": 0.1, "gate": None, "seed": "${seed}"}
        score = {
            "eval_obj": "${output:train.checkpoint_path}",
            "evaluator": {"_target_": "toys.Score"},
        }
        jobs = {
            "data": data_job("Rows"),
            "train": ("train_model", {"executor": train}),
            "score": ("evaluate_model", score),
        }
        project.write("chain", experiment(jobs, objective="score.accuracy", seed=0))
        value = data_job("Value", value=0, error=None, killed=False)
        project.write("one", experiment({"x": value}, objective="x.value"))

    def start(self, name: str, *overrides: str) -> subprocess.Popen[str]:
        """Start a sweep over an experiment."""
        options = [f"+experiment={name}", "watcher.mode=disabled", "hydra/sweeper=optuna_async"]
        return self.project.start_command("--multirun", *options, *overrides)

    def run(self, name: str, *overrides: str, code: int = 0) -> Outcome:
        """Run a sweep to its end."""
        outcome = finish(self.start(name, *overrides), 240)
        assert outcome.code == code, outcome.text
        assert "Traceback" not in outcome.err, outcome.err
        return outcome

    @property
    def folder(self) -> Path:
        """Folder of the sweep."""
        return self.project.root / "outputs" / "sweeps" / "toy"

    def table(self) -> list[dict[str, str]]:
        """Rows of ``trials.csv``."""
        with (self.folder / "trials.csv").open() as file:
            return [*csv.DictReader(file)]

    def states(self) -> list[str]:
        """States of the trials, in order."""
        return [row["state"] for row in self.table()]

    def numbered(self) -> list[int]:
        """Numbers of the trials that have a folder."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def study(self) -> Any:
        """The study, as Optuna loads it."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        backend = JournalFileBackend(str(self.folder / "study.journal"))
        return optuna.load_study(study_name="toy", storage=optuna.storages.JournalStorage(backend))

    def num_drivers(self) -> int:
        """Number of drivers that have begun and not ended in order."""
        return len([*(self.folder / "drivers").glob("*.json")])

    def num_alive(self) -> int:
        """Number of runs that have begun."""
        return len([*self.folder.glob("*/alive.json")])

    def pids(self) -> list[int]:
        """Process ids of the runs that have begun."""
        return [
            json.loads(path.read_text())["pid"] for path in sorted(self.folder.glob("*/alive.json"))
        ]
