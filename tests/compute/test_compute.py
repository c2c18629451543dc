"""Jobs run inline, or in a pool of processes that deals out threads and GPUs."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract import problems_of
from toy_project import Project, data_job, experiment, finish, until

from sandbox.compute import BaseCompute
from sandbox.compute.inline import Inline
from sandbox.compute.local import Local
from sandbox.system.hardware import available_cpus
from sandbox.system.kept import use_kept

CORES = available_cpus()


def many(project: Project, **lists: list[Any]) -> None:
    """One job of several elements, each argument a list over them."""
    project.write(
        "toy", experiment({"many": data_job("Value", name="x", also={"map": {"executor": lists}})})
    )


def seen(project: Project, key: str) -> list[Any]:
    """Return a value that the elements' processes saw, in order."""
    return [process[key] for process in project.info("many")["process"]]


def nothing(item: int) -> None:
    """Do nothing; fail for 13."""
    if item == 13:
        raise ValueError("unlucky")


@pytest.mark.parametrize("compute", [Inline(), Local(num_workers=2)], ids=["inline", "local"])
def test_every_item_is_reported_with_its_error_and_the_others_go_on(compute: BaseCompute) -> None:
    begun: list[int] = []
    with compute.open() as session:
        found = dict(session.map(nothing, [1, 13, 3], begun.append))
    assert sorted(begun) == [0, 1, 2]
    assert found[0] is None and found[2] is None
    assert isinstance(found[1], ValueError) and "unlucky" in str(found[1])


class Note:
    """Something open that leaves a file when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.with_suffix(f".opened-{os.getpid()}").touch()

    def close(self) -> None:
        self.path.with_suffix(f".closed-{os.getpid()}").touch()


def keep_a_note(path: Path) -> None:
    """Use a note that stays open for the next item, beside a file that shows its state."""
    use_kept("note", lambda: Note(path), lambda note: None)
    assert not list(path.parent.glob(f"*.closed-{os.getpid()}"))


@pytest.mark.parametrize("compute", [Inline(), Local(num_workers=1)], ids=["inline", "local"])
def test_what_items_keep_open_is_shared_by_a_job_and_closed_after_it(
    compute: BaseCompute, tmp_path: Path
) -> None:
    with compute.open() as session:
        for job in ("a", "b"):
            (tmp_path / job).mkdir()
            items = [tmp_path / job / f"{number}.note" for number in range(3)]
            assert dict(session.map(keep_a_note, items)) == {0: None, 1: None, 2: None}
    for job in ("a", "b"):
        assert [path.stem for path in (tmp_path / job).glob("*.opened-*")] == ["0"]
        assert len(list((tmp_path / job).glob("0.closed-*"))) == 1


def test_inline_runs_in_the_launcher_one_after_another(project: Project) -> None:
    many(project, value=[1, 2])
    project.run("toy")
    assert seen(project, "pid") == [os.getpid()] * 2
    assert project.ran() == ["x 1", "x 2"]


@pytest.mark.slow
def test_local_runs_two_at_a_time_in_processes_that_last(project: Project) -> None:
    """The first two wait at a gate until both are there: one by one they would never end."""
    many(project, value=[1, 2, 3, 4], gate=["a", "b", None, None])
    running = project.start("toy", "compute=local", "compute.num_workers=2")
    project.wait_for("a", "b")
    assert len(project.ran()) == 2, "and no third beside them"
    project.let_go("a", "b")
    assert finish(running).code == 0
    project.run("toy")
    pids = seen(project, "pid")
    assert len(set(pids)) == 2 and running.pid not in pids
    assert seen(project, "threads") == [str(max(1, CORES // 2))] * 4
    assert seen(project, "gpus") == [os.environ.get("CUDA_VISIBLE_DEVICES")] * 4


def test_one_worker_gets_all_threads_and_values_keep_their_order(project: Project) -> None:
    many(project, value=[3, 1, 2])
    project.run("toy", "compute=local", "compute.num_workers=1")
    assert project.info("many")["value"] == [3, 1, 2]
    assert seen(project, "threads") == [str(CORES)] * 3
    assert len(set(seen(project, "pid"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "shares"),
    [
        (["compute.num_gpus=2", "compute.gpus_per_worker=1"], {"0", "1"}),
        (["compute.num_gpus=4", "compute.gpus_per_worker=2"], {"0,1", "2,3"}),
    ],
    ids=["one each", "two each"],
)
def test_gpus_are_dealt_out(project: Project, options: list[str], shares: set[str]) -> None:
    many(project, value=[1, 2], gate=["a", "b"])
    running = project.start("toy", "compute=local", *options)
    project.wait_for("a", "b")
    project.let_go("a", "b")
    assert finish(running).code == 0
    project.run("toy")
    assert set(seen(project, "gpus")) == shares


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "shares"), [("num_gpus=null", {"5", "7"}), ("num_gpus=1", {"5"})], ids=["all", "one"]
)
def test_visible_gpus_are_kept_to(project: Project, option: str, shares: set[str]) -> None:
    many(project, value=[1, 2, 3])
    options = ["compute=local", "compute.gpus_per_worker=1", f"compute.{option}"]
    assert project.main("toy", *options, CUDA_VISIBLE_DEVICES="5,7").code == 0
    project.run("toy")
    assert set(seen(project, "gpus")) <= shares


def test_hidden_gpus_are_dealt_out_only_if_their_number_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a trial of ``hydra/launcher=submitit_local``, which hides all GPUs by default."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (problem,) = problems_of(Local, gpus_per_worker=1)
    assert problem.kind == "machine"
    assert "0 GPUs to deal out (CUDA_VISIBLE_DEVICES is '')" in problem.text
    with Local(gpus_per_worker=1, num_gpus=2).open() as session:
        assert str(session) == "local, 2 at a time"


def test_more_gpus_than_there_are_is_a_problem_of_the_plan(project: Project) -> None:
    many(project, value=[1])
    (problem,) = project.problems(
        "toy", "compute=local", "compute.gpus_per_worker=3", "compute.num_gpus=2"
    )
    assert problem.kind == "machine" and problem.where == "compute"
    assert "gpus_per_worker is 3, but there are 2" in problem.text


@pytest.mark.parametrize(
    "arguments", [{"num_workers": 0}, {"gpus_per_worker": -1}, {"num_gpus": -1}], ids=str
)
def test_wrong_numbers_are_refused(arguments: dict[str, int]) -> None:
    (problem,) = problems_of(Local, **arguments)
    assert (problem.where, problem.kind) == (next(iter(arguments)), "constraint")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "interrupted"])
def test_a_process_that_is_ended_takes_no_other_element_with_it(
    project: Project, number: int
) -> None:
    many(project, value=[1, 2, 3, 4, 5], gate=["a", "b", None, None, None])
    running = project.start("toy", "compute=local", "compute.num_workers=2")
    victim, _ = project.wait_for("a", "b")
    os.kill(victim, number)
    until(lambda: len(project.records("many")) == 3, "the others did not go on")
    project.let_go("b")
    ended = finish(running)
    assert ended.code == 1
    assert "many: 1 of 5 failed, 4 recorded" in ended.err and "many[0]" in ended.err
    assert "killed" in ended.err or "was interrupted" in ended.err
    project.ran()
    project.let_go("a")
    project.run("toy", "compute=local")
    assert project.ran() == ["x 1"]


def test_a_program_that_dies_is_an_element_that_failed(project: Project) -> None:
    Path("a.jsonl").write_text('{"text": "a"}\n')
    node = {
        "executor": {"_target_": "toys.Training", "dataset_path": "a.jsonl"},
        "map": {"executor": {"die_at": [None, 1], "seed": [0, 1]}},
    }
    project.write("toy", experiment({"train": ("train_model", node)}))
    with pytest.raises(RuntimeError, match=r"(?s)train: 1 of 2 failed.*train\[1\].*SIGKILL"):
        project.run("toy", "compute=local")
    assert len(project.records("train")) == 1


@pytest.mark.parametrize("compute", ["inline", "local"])
def test_equal_elements_are_done_once(project: Project, compute: str) -> None:
    many(project, value=[1, 2, 1, 1])
    project.run("toy", f"compute={compute}")
    assert sorted(project.ran()) == ["x 1", "x 2"]
    assert project.info("many")["value"] == [1, 2, 1, 1]
    project.run("toy", f"compute={compute}", "force=many")
    assert sorted(project.ran()) == ["x 1", "x 2"]


def test_a_job_can_have_a_compute_of_its_own(project: Project) -> None:
    jobs = {"here": data_job("Value", name="here"), "there": data_job("Value", name="there")}
    body = experiment(jobs)
    body["defaults"].insert(-1, {"/compute@jobs.there.compute": "local"})
    project.write("toy", body)
    project.run("toy")
    assert (
        project.info("here")["process"]["pid"]
        == os.getpid()
        != project.info("there")["process"]["pid"]
    )


@pytest.mark.slow
def test_processes_start_inside_a_trial_of_joblib(project: Project) -> None:
    project.write("toy", experiment({"one": data_job("Value", value=0)}))
    sweep = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "jobs.one.executor.value=1,2"]
    options = ["watcher.mode=disabled", "compute=local", "compute.num_workers=1"]
    ended = project.command("--multirun", "+experiment=toy", *options, *sweep)
    assert ended.code == 0, ended.text
    assert len(project.records("one")) == 2


def test_ctrl_c_while_a_process_of_local_starts_prints_no_traceback(project: Project) -> None:
    many(project, value=[1, 2])
    running = project.start("toy", "compute=local", "compute.num_workers=1")
    launcher = psutil.Process(running.pid)

    def handles_ctrl_c() -> bool:
        """A process of the pool is at the point where Python itself handles SIGINT."""
        for child in launcher.children():
            with contextlib.suppress(psutil.Error, OSError):
                if "spawn_main" in " ".join(child.cmdline()):
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
                    return bool(caught & 1 << signal.SIGINT - 1)
        return False

    until(handles_ctrl_c, "no process was started", poll_s=0.001)
    os.killpg(running.pid, signal.SIGINT)
    outcome = finish(running)
    assert outcome.code == 1 and "interrupted" in outcome.err
    assert "Traceback" not in outcome.text
