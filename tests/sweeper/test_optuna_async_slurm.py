"""Sweeps on a real SLURM cluster without accounting, whose drivers and trials are killed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from sweeps import Sweeps
from toy_project import finish, lasts, until

from sandbox.compute.slurm.watch import SETTLE_S

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.usefixtures("cluster")]

SLURM = [
    "hydra/launcher=submitit_slurm",
    "hydra.launcher.timeout_min=10",
    "hydra.launcher.mem_gb=1",
]
SWEEP = [
    *SLURM,
    "hydra.sweeper.n_trials=2",
    "hydra.sweeper.n_workers=2",
]
SWEEP += ["jobs.train.executor.learning_rate=interval(0.1,1)", "jobs.train.executor.gate=training"]


@pytest.fixture(autouse=True)
def quick(sweeps: Sweeps) -> None:
    """Processes on other hosts count as lost soon."""
    sweeps.project.variables["SANDBOX_LOST_AFTER_S"] = "5"


def queued(state: str = "pending,running") -> list[str]:
    """Numbers of the jobs that the cluster has."""
    command = ["squeue", "--noheader", f"--states={state}", "--format=%i"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def trainings(sweeps: Sweeps) -> int:
    return len([line for line in sweeps.project.ran() if line.startswith("training")])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_trials_go_on_when_the_submitting_shell_dies_and_are_not_doubled(
    sweeps: Sweeps, number: signal.Signals
) -> None:
    killed = sweeps.start("chain", *SWEEP)
    until(lambda: sweeps.num_alive() == 2, "two trials did not begin")
    killed.send_signal(number)
    killed.communicate()
    assert len(queued("running")) == 2
    again = sweeps.start("chain", *SWEEP)
    until(lambda: sweeps.num_drivers() == 2, "no second driver")
    sweeps.project.let_go("training")
    outcome = finish(again)
    assert outcome.code == 0 and outcome.out.count("it still runs, and is awaited") == 2, (
        outcome.text
    )
    assert sweeps.states() == ["complete"] * 2 and sweeps.numbered() == [0, 1]
    assert trainings(sweeps) == 2


def test_a_trial_that_waits_in_the_queue_is_awaited_by_the_next_driver(sweeps: Sweeps) -> None:
    later = "+hydra.launcher.additional_parameters={begin: now+1hour}"
    sweeps.project.let_go("training")
    killed = sweeps.start("chain", *SWEEP, later)
    until(lambda: len(queued("pending")) == 2, "two trials did not queue")
    killed.kill()
    killed.communicate()
    again = sweeps.start("chain", *SWEEP, later)
    until(lambda: sweeps.num_drivers() == 2, "no second driver")
    for job_id in queued():
        subprocess.run(["scontrol", "update", f"JobId={job_id}", "StartTime=now"], check=True)
    outcome = finish(again)
    assert outcome.code == 0 and outcome.out.count("is awaited") == 2, outcome.text
    assert sweeps.states() == ["complete"] * 2 and sweeps.numbered() == [0, 1]
    assert trainings(sweeps) == 2


def test_a_cancelled_trial_fails_without_accounting_and_the_sweep_goes_on(sweeps: Sweeps) -> None:
    running = sweeps.start("chain", *SWEEP)
    until(lambda: sweeps.num_alive() == 2, "two trials did not begin")
    (folder,) = [
        path for path in (sweeps.folder / "0" / ".submitit").iterdir() if path.name.isdecimal()
    ]
    subprocess.run(["scancel", "--signal=KILL", "--full", folder.name], check=True)
    until(lambda: sweeps.folder.joinpath("trials.csv").exists(), "the loss was not seen")
    sweeps.project.let_go("training")
    outcome = finish(running)
    assert outcome.code == 0, outcome.text
    assert sweeps.states() == ["fail", "complete", "complete"]
    error = sweeps.table()[0]["error"]
    assert "its process is gone" in error and "SLURM reports " in error
    assert "sacct" not in outcome.text


def test_ctrl_c_cancels_running_and_waiting_jobs(sweeps: Sweeps) -> None:
    running = sweeps.start("chain", *SWEEP, "hydra.sweeper.n_workers=3", "hydra.sweeper.n_trials=3")
    until(lambda: len(queued()) == 3 and sweeps.num_alive() >= 2, "the trials did not begin")
    os.killpg(running.pid, signal.SIGINT)
    outcome = finish(running)
    assert outcome.code == 1 and "interrupted" in outcome.err, outcome.text
    until(lambda: not queued(), "jobs are left")
    sweeps.project.let_go("training")
    sweeps.run("chain", *SWEEP, "hydra.sweeper.n_workers=3", "hydra.sweeper.n_trials=3")
    assert sweeps.states().count("complete") == 3


def test_pruning_ends_a_trial_on_a_node(sweeps: Sweeps, tmp_path: Path) -> None:
    threshold = ["hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner"]
    threshold += ["+hydra.sweeper.pruner.upper=0.4", "hydra.sweeper.prune_on=train.loss"]
    outcome = sweeps.run("chain", *SWEEP, *threshold, code=1)
    assert "no trial was completed" in outcome.err
    assert sweeps.states() == ["pruned"] * 2
    until(lambda: not queued(), "jobs are left")


def test_a_trial_that_slurm_queues_again_goes_on_in_its_folder(sweeps: Sweeps) -> None:
    options = [*SWEEP, "hydra.sweeper.n_trials=1", "hydra.launcher.max_num_timeout=2"]
    running = sweeps.start("chain", *options)
    sweeps.project.wait_for("training")
    (job_id,) = queued("running")
    subprocess.run(["scancel", "--signal=USR2", job_id], check=True)
    until(lambda: queued("pending") == [job_id], "it was not queued again")
    sweeps.project.let_go("training")
    # SLURM may take a late report of the first attempt's end for that of the second.
    lasts(lambda: queued("pending") == [job_id], "it began too early", SETTLE_S)
    subprocess.run(["scontrol", "update", f"JobId={job_id}", "StartTime=now"], check=True)
    outcome = finish(running, 240)
    assert outcome.code == 0, outcome.text
    assert sweeps.states() == ["complete"] and sweeps.numbered() == [0]
