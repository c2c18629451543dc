"""``compute=slurm`` on a real cluster of two nodes, which fails, kills and preempts jobs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slurm_toys import no_thirteen
from toy_project import Project, alive, data_job, experiment, finish, until

from sandbox.compute.slurm import Slurm, queue

pytestmark = [pytest.mark.slow, pytest.mark.slurm]
STEPS = {"_target_": "toys.Steps"}
SLURM = ["compute=slurm", "compute.poll_s=1", "compute.mem_gb=0.5"]


def many(project: Project, **lists: list[Any]) -> None:
    """One job of several elements, each argument a list over them."""
    project.write(
        "toy", experiment({"many": data_job("Value", name="x", also={"map": {"executor": lists}})})
    )


def one(
    project: Project, target: str, hook: str = "general_data_executor", **arguments: Any
) -> None:
    """One job of one element."""
    node = {"executor": {"_target_": f"slurm_toys.{target}", **arguments}}
    project.write("toy", experiment({"many": (hook, node)}))


def tool(*command: str) -> str:
    """Return the output of one of SLURM's tools."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def job_ids(project: Project) -> list[str]:
    """SLURM's ids of the elements that were submitted and have not ended."""
    submissions = (project.root / "outputs/store").glob("*/*/slurm.json")
    return sorted(json.loads(path.read_text())["job_id"] for path in submissions)


def states() -> set[str]:
    """States of all jobs that have not ended."""
    return set(tool("squeue", "--noheader", "--array", "--format=%T").split())


def wait_for_jobs(project: Project, count: int) -> list[str]:
    """Wait until so many elements have been submitted."""
    until(lambda: len(job_ids(project)) == count, f"{count} elements were not submitted")
    return job_ids(project)


def without_sacct(folder: Path) -> str:
    """A search path that has everything but ``sacct``."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            if program.name != "sacct":
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_the_elements_of_a_job_are_one_array_and_each_has_its_gpu_and_threads(
    project: Project, cluster: Path
) -> None:
    many(project, value=[1, 2, 3, 4], gate=["a", "b", "c", "d"])
    running = project.start("toy", *SLURM, "compute.gpus=1", "compute.cpus_per_task=2")
    project.wait_for("a", "b", "c", "d")
    ids = job_ids(project)
    assert len({job_id.partition("_")[0] for job_id in ids}) == 1
    assert [job_id.partition("_")[2] for job_id in ids] == ["0", "1", "2", "3"]
    places = tool("squeue", "--noheader", "--array", "--Format=NodeList,tres-per-node").split()
    assert places.count("n1") == places.count("n2") == 2
    project.let_go("a", "b", "c", "d")
    ended = finish(running)
    assert ended.code == 0, ended.text
    for number, job_id in enumerate(ids):
        (log,) = re.findall(rf"many\[{number}\]: SLURM job {job_id}, log (\S+)", ended.text)
        assert "Starting with JobEnvironment" in Path(log).read_text()
    assert not job_ids(project), "submissions end with their jobs"
    project.run("toy")
    info = project.info("many")
    assert info["value"] == [1, 2, 3, 4]
    assert sorted(process["gpus"] for process in info["process"]) == ["0", "0", "1", "1"]
    assert {process["threads"] for process in info["process"]} == {"2"}


def test_no_more_elements_run_than_max_parallel(project: Project, cluster: Path) -> None:
    many(project, value=[1, 2], gate=["a", "b"])
    running = project.start("toy", *SLURM, "compute.max_parallel=1")
    project.wait_for("a")
    until(
        lambda: "JobArrayTaskLimit" in tool("squeue", "--noheader", "--array", "--format=%r"),
        "no limit",
    )
    assert not (project.gate / "b.here").exists()
    project.let_go("a", "b")
    assert finish(running).code == 0


def test_an_error_comes_back_with_its_message_and_only_that_element_runs_again(
    project: Project, cluster: Path
) -> None:
    many(project, value=[1, 2, 3], error=[None, "the tea is cold", None])
    ended = project.main("toy", *SLURM)
    assert ended.code == 1
    assert "many: 1 of 3 failed, 2 recorded" in ended.err
    assert "many[1] (2 the tea is cold): the tea is cold" in ended.err
    assert "Traceback" not in ended.err
    project.ran()
    (project.gate / "healed").touch()
    assert project.main("toy", *SLURM).code == 0
    assert project.ran() == ["x 2"]


@pytest.mark.parametrize("sacct", ["silent", "absent", "answers"])
def test_a_killed_process_is_seen_with_and_without_accounting(
    project: Project, cluster: Path, sacct: str
) -> None:
    """With the default of ten seconds between two polls, where there is no ``sacct`` at all."""
    variables, options = {}, SLURM
    if sacct == "absent":
        options = [*SLURM, "compute.poll_s=10"]
        variables["PATH"] = without_sacct(project.root / "bin")
        assert not shutil.which("sacct", path=variables["PATH"])
    elif sacct == "answers":
        variables["PATH"] = f"{cluster}/bin:{os.environ['PATH']}"
    many(project, value=[1, 2], gate=["a", None])
    running = project.start("toy", *options, **variables)
    (victim,) = project.wait_for("a")
    os.kill(victim, signal.SIGKILL)
    ended = finish(running, timeout_s=60)
    assert ended.code == 1
    assert "many: 1 of 2 failed, 1 recorded" in ended.err
    assert re.search(
        r"many\[0\] \(1 a\): SLURM job \d+_0 on n\d ended FAILED.*killed", ended.err
    ), ended.err


def test_a_cancelled_job_is_seen_and_its_programs_are_ended(
    project: Project, cluster: Path
) -> None:
    one(project, "Patient", hook="train_model")
    running = project.start("toy", *SLURM)
    (job_id,) = wait_for_jobs(project, 1)
    until(lambda: any(project.root.rglob("steps.txt")), "it does not run")
    tool("scancel", job_id)
    ended = finish(running)
    assert ended.code == 1
    assert f"SLURM job {job_id}" in ended.err and "ended CANCELLED" in ended.err
    assert any(project.root.rglob("interrupted.txt")), "the program was not interrupted"


def test_an_element_that_takes_too_much_memory_is_reported_as_such(
    project: Project, cluster: Path
) -> None:
    one(project, "Hungry")
    ended = project.main("toy", *SLURM)
    assert ended.code == 1
    assert "killed (often: out of memory)" in ended.err and "exceeded memory limit" in ended.err


def test_at_their_time_limit_elements_are_requeued_and_go_on_where_they_were(
    project: Project, cluster: Path
) -> None:
    """With a limit of a minute, which SLURM checks twice a minute; the signal may come early."""
    node = {
        "executor": {"_target_": "slurm_toys.Patient"},
        "map": {"executor": {"name": ["a", "b"]}},
    }
    project.write("toy", experiment({"many": ("train_model", node)}))
    ended = project.main("toy", *SLURM, "compute.timeout_min=1", "compute.signal_delay_s=55")
    assert ended.code == 0, ended.text
    assert (
        ended.text.count("interrupted by the cluster and queued again") >= 2
    )  # SLURM may show one twice
    assert sorted(project.ran()) == ["a from 0", "a from 3", "b from 0", "b from 3"]
    for record in project.records("many"):
        assert (record.parent / "out/steps.txt").read_text().split() == ["0", "1", "2"]
        assert json.loads(record.read_text())["outputs"]["was_interrupted"] is True
        assert len([*(record.parent / "logs").glob("*.log")]) == 2, "two attempts in one folder"


def test_an_element_that_comes_to_its_limit_too_often_fails(
    project: Project, cluster: Path
) -> None:
    one(project, "Patient", hook="train_model")
    limits = ["compute.timeout_min=1", "compute.signal_delay_s=55", "compute.max_num_timeout=0"]
    running = project.start("toy", *SLURM, *limits)
    (job_id,) = wait_for_jobs(project, 1)
    until(lambda: any(project.root.rglob("steps.txt")), "it does not run")
    tool("scancel", "--batch", "--signal=USR2", job_id)  # as SLURM does half a minute later
    ended = finish(running)
    assert ended.code == 1
    assert "came to its time limit 1 times" in ended.err and "timeout_min is 1" in ended.err


def test_a_preempted_element_goes_on_where_it_was(project: Project, cluster: Path) -> None:
    one(project, "Patient", hook="train_model")
    running = project.start("toy", *SLURM, "compute.partition=debug")
    until(lambda: any(project.root.rglob("steps.txt")), "it does not run")
    urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    tool("sbatch", *urgent, "--wrap=sleep 1")
    ended = finish(running)
    assert ended.code == 0, ended.text
    assert project.ran() == ["patient from 0", "patient from 3"]


def test_an_element_whose_node_fails_runs_again_on_another(project: Project, cluster: Path) -> None:
    one(project, "Patient", hook="train_model")
    running = project.start("toy", *SLURM)
    (job_id,) = wait_for_jobs(project, 1)
    until(lambda: any(project.root.rglob("steps.txt")), "it does not run")
    node = tool("squeue", "--noheader", "--format=%N", "--jobs", job_id).strip()
    tool("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    ended = finish(running)  # the node, which is well, comes back by itself
    assert ended.code == 0, ended.text
    assert project.ran() == ["patient from 0", "patient from 3"]


def test_a_killed_driver_finds_its_elements_again(project: Project, cluster: Path) -> None:
    many(project, value=[1, 2, 3], gate=["a", "b", None])
    killed = project.start("toy", *SLURM)
    project.wait_for("a", "b")
    until(lambda: len(project.records("many")) == 1, "the third did not end")
    ids = job_ids(project)
    killed.kill()
    finish(killed)
    again = project.start("toy", *SLURM)
    assert again.stdout
    seen = ""
    while not all(f"SLURM job {job_id} does it already" in seen for job_id in ids[:2]):
        seen += (line := again.stdout.readline())
        assert line, "it has found none"
    project.let_go("a", "b")
    ended = finish(again)
    assert ended.code == 0, ended.text
    assert sorted(project.ran()) == ["x 1", "x 2", "x 3"]


def test_a_training_goes_on_without_its_driver_and_its_metrics_are_whole(
    project: Project, cluster: Path
) -> None:
    project.write("toy", experiment({"train": ("train_model", {"executor": STEPS})}))
    killed = project.start("toy", *SLURM)
    project.wait_for("steps")
    killed.kill()
    killed.communicate()
    project.let_go("steps")
    project.let_go("end")
    until(lambda: len(project.records("train")) == 1, "it did not go on")
    assert project.ran() == [f"step {step}" for step in range(12)]
    assert project.main("toy", *SLURM).code == 0
    assert project.ran() == []
    lines = (project.runs("toy")[1] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [*range(12)]


def test_two_drivers_of_the_same_run_submit_each_element_once(
    project: Project, cluster: Path
) -> None:
    many(project, value=[1, 2], gate=["a", "b"])
    both = [project.start("toy", *SLURM) for _ in range(2)]
    project.wait_for("a", "b")
    project.let_go("a", "b")
    for running in both:
        ended = finish(running)
        assert ended.code == 0, ended.text
    assert sorted(project.ran()) == ["x 1", "x 2"]
    assert len([*(project.root / "outputs/slurm").rglob("*_submission.sh")]) == 1


def test_a_driver_that_is_interrupted_takes_nothing_from_another(
    project: Project, cluster: Path
) -> None:
    """The first cancels its jobs; the second, which waited for them too, submits them again."""
    many(project, value=[1], gate=["a"])
    first = project.start("toy", *SLURM)
    project.wait_for("a")
    (job_id,) = job_ids(project)
    second = project.start("toy", *SLURM)
    assert second.stdout
    seen = ""
    while f"SLURM job {job_id} does it already" not in seen:
        seen += second.stdout.readline()
    first.send_signal(signal.SIGINT)
    assert finish(first).code == 1
    project.let_go("a")
    ended = finish(second)
    assert ended.code == 0, ended.text
    assert len(project.records("many")) == 1


@pytest.mark.parametrize(
    ("number", "option", "is_left"),
    [
        (signal.SIGINT, "cancel", False),
        (signal.SIGTERM, "cancel", False),
        (signal.SIGINT, "leave", True),
        (signal.SIGHUP, "cancel", True),
    ],
    ids=["Ctrl-C cancels", "TERM cancels", "Ctrl-C leaves", "a lost terminal leaves"],
)
def test_an_interrupted_run_cancels_or_keeps_its_submitted_jobs(
    project: Project, cluster: Path, number: int, option: str, is_left: bool
) -> None:
    many(project, value=[1, 2], gate=["a", "b"])
    running = project.start("toy", *SLURM, f"compute.on_interrupt={option}")
    pids = project.wait_for("a", "b")
    os.killpg(running.pid, number)  # as a terminal does
    ended = finish(running)
    assert ended.code == 1 and "interrupted" in ended.err
    if not is_left:
        until(lambda: not any(map(alive, pids)), "they go on")
        assert not job_ids(project)
        return
    assert states() == {"RUNNING"}
    project.let_go("a", "b")
    again = project.main("toy", *SLURM)
    assert again.code == 0, again.text
    assert sorted(project.ran()) == ["x 1", "x 2"]


def test_a_secret_is_in_no_file_of_a_submission(project: Project, cluster: Path) -> None:
    project.write("toy", experiment({"many": data_job("Login", token="${oc.env:TOY_TOKEN}")}))
    ended = project.main("toy", *SLURM, TOY_TOKEN="xyzzy-plugh")
    assert ended.code == 0, ended.text
    files = [path for path in (project.root / "outputs").rglob("*") if path.is_file()]
    assert len(files) > 5 and not any(b"xyzzy-plugh" in path.read_bytes() for path in files)
    assert json.loads(project.records("many")[0].read_text())["outputs"]["length"] == len(
        "xyzzy-plugh"
    )


def test_one_job_alone_can_run_on_the_cluster(project: Project, cluster: Path) -> None:
    jobs = {"here": data_job("Value", name="here"), "there": data_job("Value", name="there")}
    body = experiment(jobs)
    body["defaults"].insert(-1, {"/compute@jobs.there.compute": "slurm"})
    project.write("toy", body)
    more = [
        "setup=['echo loaded on $SLURMD_NODENAME']",
        "additional_parameters={exclude: n1, nice: 5}",
    ]
    options = [f"jobs.there.compute.{option}" for option in ("poll_s=1", "mem_gb=0.5", *more)]
    assert "compute.setup" in project.main("toy", *options).err
    ended = project.main("toy", *options, SANDBOX_ALLOW="shell-lines")
    assert ended.code == 0, ended.text
    assert "here: running (inline)" in ended.text and "there: SLURM job" in ended.text
    (log,) = (project.root / "outputs/slurm").rglob("*_log.out")
    assert log.read_text().startswith("loaded on n2")


def test_items_that_are_no_element_jobs_run_too_and_the_message_of_sbatch_is_kept(
    cluster: Path, tmp_path: Path
) -> None:
    with Slurm(folder=str(tmp_path / "a folder"), poll_s=1).open() as session:
        found = dict(session.map(no_thirteen, [1, 13, 3]))
    assert found[0] is None and found[2] is None
    assert isinstance(found[1], ValueError) and str(found[1]) == "unlucky"
    with Slurm(folder=str(tmp_path), partition="nowhere").open() as session:
        refused = dict(session.map(no_thirteen, [1, 2]))
    assert [*refused] == [0, 1] and all(
        "invalid partition" in str(error).lower() for error in refused.values()
    )


def test_a_job_that_squeue_has_forgotten_is_gone(cluster: Path) -> None:
    assert queue.states(["7_0"])["7_0"].name == queue.GONE
    job_id = tool(
        "sbatch", "--parsable", "--array=0", "--hold", "--output=/dev/null", "--wrap=true"
    ).strip()
    found = queue.states(["7_0", f"{job_id}_0"])
    assert found["7_0"].is_final and found[f"{job_id}_0"].is_alive


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("partition=nowhere", "invalid partition"),
        ("mem_gb=1000", "node configuration is not available"),
        ("timeout_min=100000", "time limit"),
        ("gpus=9", "node configuration is not available"),
        ("constraint=quantum", "Invalid feature"),
    ],
)
def test_a_request_that_the_cluster_refuses_is_a_problem_of_the_plan(
    project: Project, cluster: Path, option: str, words: str
) -> None:
    many(project, value=[1, 2])
    (problem,) = project.problems("toy", "compute=slurm", f"compute.{option}")
    assert (problem.where, problem.kind) == ("compute", "machine")
    assert words.lower() in problem.text.lower()
    assert option.partition("=")[2] in problem.text or "mem=" in problem.text
