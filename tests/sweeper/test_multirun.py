"""Sweeps by Hydra's own sweeper and Optuna's stock one, through the stock launchers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from toy_project import ROOT, Outcome, Project, data_job, experiment, finish, merge, until

RATE = "+jobs.train.executor.learning_rate"
CLUSTER = ROOT / "scripts" / "slurm_cluster"
OPTUNA = ("hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=1")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A throw-away SLURM cluster; skips where there can be none."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [
        name
        for name in ("slurmctld", "slurmd", "munged", "sbatch")
        if not shutil.which(name, path=path)
    ]
    if missing or os.geteuid() != 0 or not CLUSTER.exists():
        pytest.skip("a SLURM cluster needs root and Debian's packages")
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))
    command = [sys.executable, str(CLUSTER), "up", str(directory), "--sacct"]
    command += ["--until", str(os.getpid())]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SLURM_CONF", str(directory / "slurm.conf"))
    monkeypatch.setenv("PATH", f"{directory / 'bin'}:{path}")
    yield
    subprocess.run([sys.executable, CLUSTER, "down", directory], check=True)


def sweep(project: Project, *overrides: str) -> Outcome:
    """Sweep the experiment ``chain``."""
    return project.command("--multirun", "+experiment=chain", "watcher.mode=disabled", *overrides)


def trials(project: Project) -> list[Path]:
    """The folders of the last sweep's trials."""
    folder = project.runs("chain")[-1]
    return sorted(
        (path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
    )


def objectives(project: Project) -> list[float]:
    """Return the results of the trials by number."""
    return [project.metrics(trial)["objective"][-1] for trial in trials(project)]


def test_a_grid_gives_a_folder_a_trial_and_processes_data_once(chain: Project) -> None:
    outcome = sweep(chain, f"{RATE}=0.1,0.2", "objective=[score.accuracy]")
    assert outcome.code == 0, outcome.text
    ran = ["training data.jsonl small {} 0", "score small None"]
    assert chain.ran() == [
        "rows row 4",
        *[line.format(rate) for rate in ("0.1", "0.2") for line in ran],
    ]
    assert [trial.name for trial in trials(chain)] == ["0", "1"]
    for trial in trials(chain):
        names = {path.name for path in trial.iterdir()}
        assert names == {".hydra", "context_infos.json", "jobs", "metrics.jsonl", "sandbox.log"}
    assert objectives(chain) == pytest.approx([0.4, 0.8])
    again = sweep(chain, f"{RATE}=0.1,0.2")
    assert again.code == 0 and chain.ran() == []
    assert len(chain.runs("chain")) == 2 and objectives(chain) == pytest.approx([0.4, 0.8])


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ("joblib", "hydra.launcher.n_jobs=4"),
        ("submitit_local",),
        (
            "submitit_slurm",
            "hydra.launcher.mem_gb=1",
            "hydra.launcher.cpus_per_task=2",
            # as if they were two machines
            "hydra.launcher.setup=['export SANDBOX_HOST=$SLURMD_NODENAME']",
        ),
    ],
    ids=lambda launcher: launcher[0],
)
def test_trials_that_start_together_run_their_common_jobs_once(
    chain: Project, launcher: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """One makes the data; it goes on when the three others are seen to wait for it."""
    name, *options = launcher
    if name == "submitit_slurm":
        request.getfixturevalue("slurm")
    overrides = (f"{RATE}=0.1,0.2,0.3,0.4", f"hydra/launcher={name}", *options)
    started = chain.start_command(
        "--multirun",
        "+experiment=chain",
        "watcher.mode=disabled",
        "+jobs.data.executor.gate=data",
        *overrides,
        SANDBOX_ALLOW="shell-lines",
    )
    chain.wait_for("data")

    def waiting() -> int:
        logs = [path.read_text() for path in (chain.root / "outputs").glob("chain/*/*/sandbox.log")]
        return sum("is doing this job; waiting to reuse its result" in log for log in logs)

    until(lambda: waiting() == 3, "three do not wait")
    chain.let_go("data")
    outcome = finish(started)
    assert outcome.code == 0, outcome.text
    ran = chain.ran()
    assert ran.count("rows row 4") == 1 and len(ran) == 1 + 4 + 4 == len({*ran}) + 3
    assert objectives(chain) == pytest.approx([0.4, 0.8, 1.2, 1.6])
    (data,) = chain.records("data")
    assert [path.name for path in (data.parent / "attempts").iterdir()] == ["1"]
    assert [path.name for path in (data.parent / "logs").iterdir()] == ["1.log"]
    owners = [*(chain.root / "outputs/store/train").glob("*/attempts/1/owner.json")]
    hosts = {json.loads(path.read_text())["host"] for path in owners}
    assert len(hosts) == (2 if name == "submitit_slurm" else 1)


@pytest.mark.slow
def test_optuna_finds_the_best_of_one_objective(chain: Project) -> None:
    space = (
        f"{RATE}=interval(0.1, 0.3)",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.direction=maximize",
    )
    outcome = sweep(chain, *OPTUNA, *space)
    assert outcome.code == 0, outcome.text
    (results,) = (chain.root / "outputs/chain").glob("*/optimization_results.yaml")
    best = yaml.safe_load(results.read_text())
    assert (
        best["best_value"] == pytest.approx(max(objectives(chain))) and len(objectives(chain)) == 3
    )
    assert best["best_params"] == {RATE: pytest.approx(best["best_value"] / 4)}
    assert chain.ran().count("rows row 4") == 1


@pytest.mark.slow
def test_optuna_takes_several_objectives(chain: Project) -> None:
    several = (
        "objective=[score.accuracy,score.loss]",
        "hydra.sweeper.direction=[maximize,minimize]",
    )
    outcome = sweep(
        chain, *OPTUNA, *several, f"{RATE}=interval(0.1, 0.3)", "hydra.sweeper.n_trials=2"
    )
    assert outcome.code == 0, outcome.text
    (results,) = (chain.root / "outputs/chain").glob("*/optimization_results.yaml")
    (solution,) = yaml.safe_load(results.read_text())["solutions"]
    assert sum(solution["values"]) == pytest.approx(1)


def with_scores(project: Project, *scores: str) -> str:
    """Write an experiment whose objective is an argument; return the override for these values."""
    job = data_job("Value")
    project.write(
        "chain", merge(experiment({"x": job}), {"experiment_name": "chain", "objective": "x.value"})
    )
    return f"+jobs.x.executor.value={','.join(scores)}"


@pytest.mark.parametrize(
    ("score", "why"),
    [
        ("nan", "the objective x.value is nan: this trial has failed"),
        ("null", "x.value: is None, expected a number"),
    ],
)
def test_a_trial_without_a_number_fails_and_the_others_go_on(
    project: Project, score: str, why: str
) -> None:
    outcome = sweep(project, with_scores(project, "1", score, "2"))
    assert outcome.code == 1 and why in outcome.err and "Traceback" not in outcome.text
    assert len(project.ran()) == 3
    assert why in (trials(project)[1] / "sandbox.log").read_text()


@pytest.mark.slow
def test_optuna_continues_past_failed_trials_if_the_failure_rate_allows_it(
    project: Project,
) -> None:
    space = with_scores(project, "1", "nan", "2")
    grid = [
        "hydra/sweeper=optuna",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.direction=maximize",
    ]
    outcome = sweep(project, *grid, space)
    assert outcome.code == 1 and "the objective x.value is nan" in outcome.err
    outcome = sweep(project, *grid, space, "hydra.sweeper.max_failure_rate=1")
    assert outcome.code == 0, outcome.text
    results = project.runs("chain")[-1] / "optimization_results.yaml"
    assert yaml.safe_load(results.read_text())["best_value"] == 2


def test_a_sweeper_that_needs_an_objective_is_given_one(chain: Project) -> None:
    outcome = sweep(chain, *OPTUNA, f"{RATE}=interval(0.1, 0.3)", "objective=null")
    assert outcome.code == 2 and "objective: none is given" in outcome.err
    assert chain.ran() == []


def test_a_grid_needs_no_objective(chain: Project) -> None:
    outcome = sweep(chain, f"{RATE}=0.1,0.2", "objective=null")
    assert outcome.code == 0, outcome.text


def test_a_forced_job_runs_once_a_sweep(chain: Project) -> None:
    sweep(chain, f"{RATE}=0.1,0.2")
    chain.ran()
    assert sweep(chain, f"{RATE}=0.1,0.2", "force=[data,score]").code == 0
    assert chain.ran() == ["rows row 4", "score small None", "score small None"]


def test_a_dry_run_of_a_sweep_runs_nothing(chain: Project) -> None:
    outcome = sweep(chain, f"{RATE}=0.1,0.2", "dry_run=true")
    assert outcome.code == 0 and outcome.out.count("depends on train") == 2
    assert chain.ran() == []
