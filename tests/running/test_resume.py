"""Resumption after the end of a driver: killed, interrupted, or beside another."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, alive, data_job, experiment, finish, until

pytestmark = pytest.mark.slow

COMPUTES = pytest.mark.parametrize("compute", ["inline", "local"])


TRAINING: tuple[str, dict[str, Any]] = (
    "train_model",
    {
        "executor": {
            "_target_": "toys.Training",
            "dataset_path": "${output:before.path}",
            "gate": "training",
        }
    },
)


def three(project: Project) -> None:
    """Three elements, of which ``second`` waits at a gate, and a job before and after."""
    many = data_job(
        "Value",
        name="x",
        also={"map": {"executor": {"value": [1, 2, 3], "gate": [None, "second", None]}}},
    )
    project.write(
        "toy",
        experiment({"before": data_job("Add"), "many": many, "after": data_job("Add", start=5)}),
    )


def children(pid: int) -> list[int]:
    """Process ids of all descendants."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


def parent(pid: int) -> int:
    """Process id of the parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def all_gone(pids: list[int]) -> None:
    """Wait until none of these processes runs any more."""
    until(
        lambda: not any(alive(pid) for pid in pids),
        f"still there: {[pid for pid in pids if alive(pid)]}",
        40,
    )


@COMPUTES
def test_after_kill_9_the_same_command_repeats_nothing_recorded(
    project: Project, compute: str
) -> None:
    three(project)
    options = [f"compute={compute}", *(["compute.num_workers=1"] if compute == "local" else [])]
    killed = project.start("toy", *options)
    project.wait_for("second")
    left = children(killed.pid)
    killed.kill()
    killed.communicate()
    all_gone(left)
    assert sorted(project.ran()) == ["add 0 1", "x 1", "x 2"]
    project.let_go("second")
    assert project.main("toy", *options).code == 0
    assert sorted(project.ran()) == ["add 5 1", "x 2", "x 3"]
    assert project.main("toy", *options).code == 0
    assert project.ran() == []


STEPS = ("train_model", {"executor": {"_target_": "toys.Steps"}})


@COMPUTES
def test_a_killed_training_continues_and_its_metrics_are_whole(
    project: Project, compute: str
) -> None:
    project.write("toy", experiment({"train": STEPS}))
    killed = project.start("toy", f"compute={compute}")
    (program,) = project.wait_for("steps")
    launcher = [
        pid for pid in (killed.pid, *children(killed.pid)) if pid not in (program, parent(program))
    ]
    # Stopped, the launcher does not see the steps that the program now makes.
    for pid in launcher:
        os.kill(pid, signal.SIGSTOP)
    project.let_go("steps")
    project.wait_for("end")
    for pid in launcher:
        os.kill(pid, signal.SIGKILL)
    killed.communicate()
    until(lambda: not alive(program), "the program outlives its launcher", 10)
    assert project.ran() == [f"step {step}" for step in range(11)]
    project.let_go("end")
    assert project.main("toy", f"compute={compute}").code == 0
    assert project.ran() == ["step 10", "step 11"], "it did not continue from its state"
    assert [event["step"] for event in project.watched("train")] == [*range(12)]
    lines = (project.runs("toy")[1] / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert sorted(step for step in steps if step is not None) == [*range(12)]
    assert not (project.records("train")[0].parent / "out" / "resume").exists()


def test_state_to_resume_from_goes_also_if_the_launcher_was_killed_after_recording(
    project: Project,
) -> None:
    project.write("toy", experiment({"train": STEPS}))
    project.let_go("steps")
    project.let_go("end")
    assert project.main("toy").code == 0
    left = project.records("train")[0].parent / "out" / "resume"
    left.mkdir()
    assert project.main("toy").code == 0
    assert not left.exists()


@COMPUTES
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_reports_it_ends_its_programs_and_can_be_continued(
    project: Project, compute: str, number: signal.Signals
) -> None:
    """Ctrl-C in a terminal reaches the whole process group; SIGTERM the driver alone."""
    jobs = {"before": data_job("Rows"), "train": TRAINING, "after": data_job("Add")}
    project.write("toy", experiment(jobs))
    running = project.start("toy", f"compute={compute}")
    project.wait_for("training")
    left = children(running.pid)
    assert left
    os.killpg(running.pid, number) if number == signal.SIGINT else running.send_signal(number)
    ended = finish(running)
    assert ended.code == 1
    assert "interrupted" in ended.err and "the same command goes on from there" in ended.err
    assert "run folder: " in ended.err
    assert "Traceback" not in ended.text, ended.text
    all_gone(left)
    assert project.ran() == ["rows row 4", "training data.jsonl small 0.1 0"]
    assert project.records("train") == []
    project.let_go("training")
    assert project.main("toy", f"compute={compute}").code == 0
    assert project.ran() == ["training data.jsonl small 0.1 0", "add 0 1"]


def test_two_drivers_at_once_do_each_job_once(project: Project) -> None:
    three(project)
    runs = [project.start("toy"), project.start("toy", "compute=local", "compute.num_workers=2")]
    project.wait_for("second")
    project.let_go("second")
    assert [finish(run).code for run in runs] == [0, 0]
    assert sorted(project.ran()) == ["add 0 1", "add 5 1", "x 1", "x 2", "x 3"]
    infos = [json.loads((run / "context_infos.json").read_text()) for run in project.runs("toy")]
    values = [
        [{key: info.get(key) for key in ("meta_name", "value")} for info in one["main"]]
        for one in infos
    ]
    assert values[0] == values[1]


def test_two_drivers_wait_for_one_another(project: Project) -> None:
    three(project)
    first = project.start("toy")
    project.wait_for("second")
    second = project.start("toy")
    until(lambda: len(project.runs("toy")) == 2, "the second run did not start")
    log = project.runs("toy")[1] / "sandbox.log"
    until(
        lambda: log.exists() and f"process {first.pid} on " in log.read_text(),
        "it did not wait",
    )
    project.let_go("second")
    assert finish(first).code == finish(second).code == 0
    assert sorted(project.ran()) == ["add 0 1", "add 5 1", "x 1", "x 2", "x 3"]
