"""Sweeps of toys, and a real SLURM cluster for them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_project import ROOT, Outcome, Project, data_job, experiment, finish

SCRIPT = ROOT / "scripts" / "slurm_cluster"
DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")


class Sweeps:
    """Sweeps of a project with the experiments ``chain`` (data → train → score) and ``one`` (a value).

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
        """How many drivers have begun and not ended in order."""
        return len([*(self.folder / "drivers").glob("*.json")])

    def num_alive(self) -> int:
        """How many runs have begun."""
        return len([*self.folder.glob("*/alive.json")])

    def pids(self) -> list[int]:
        """Process ids of the runs that have begun."""
        return [
            json.loads(path.read_text())["pid"] for path in sorted(self.folder.glob("*/alive.json"))
        ]


@pytest.fixture
def sweeps(project: Project) -> Sweeps:
    """The project's sweeps."""
    return Sweeps(project)


@pytest.fixture(scope="session")
def cluster_dir() -> Iterator[Path]:
    """A throw-away cluster without accounting; ends when the tests do, and when they are killed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in DAEMONS if not shutil.which(name, path=path)]
    if missing or os.geteuid() != 0 or not SCRIPT.exists():
        pytest.skip(
            f"a SLURM cluster needs root and Debian's packages; missing: {missing or 'root'}"
        )
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))
    command = [sys.executable, SCRIPT, "up", directory, "--until", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield directory
    subprocess.run([sys.executable, SCRIPT, "down", directory], check=True)


@pytest.fixture
def cluster(cluster_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cluster is the one that SLURM's tools talk to; no job of an earlier test is left in it."""
    monkeypatch.setenv("SLURM_CONF", str(cluster_dir / "slurm.conf"))
    subprocess.run(["scancel", "--user=root"], check=True)
    return cluster_dir
