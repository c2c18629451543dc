"""Claims on jobs between processes and hosts: killed, suspended, late and competing owners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import (
    ROOT,
    SUPPORT,
    Project,
    alive,
    data_job,
    experiment,
    finish,
    lasts,
    merge,
    until,
)

from sandbox.job import JobFailed
from sandbox.running.attempt import _Attempt
from sandbox.store import claims
from sandbox.system.liveness import Owner

CLAIMANT = SUPPORT / "claimant.py"
LOST_AFTER_S = 0.8
PATIENT = "1000"
"""A time without a heartbeat that no test waits for."""


class Claimants:
    """Processes that want the job of one folder, each on a host of its own choice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "record.json"
        self.started: list[subprocess.Popen[str]] = []

    def start(
        self, host: str, *options: str, lost_after_s: float | str = LOST_AFTER_S
    ) -> subprocess.Popen[str]:
        """Start one; its log goes beside the folder."""
        variables = {
            "SANDBOX_HOST": host,
            "SANDBOX_LOST_AFTER_S": str(lost_after_s),
            "PYTHONPATH": str(ROOT),
        }
        with self.folder.with_name(f"{len(self.started)}.log").open("w") as stderr:
            self.started.append(
                subprocess.Popen(
                    [sys.executable, CLAIMANT, self.folder, *options],
                    env={**os.environ, **variables},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            )
        return self.started[-1]

    def log(self, claimant: subprocess.Popen[str]) -> str:
        return self.folder.with_name(f"{self.started.index(claimant)}.log").read_text()

    def num_attempts(self) -> int:
        """Count the attempts that were begun."""
        return len([*(self.folder / "attempts").glob("[0-9]*")])

    def waits(self, claimant: subprocess.Popen[str]) -> None:
        """Wait until it waits for somebody else."""
        until(lambda: "waiting" in self.log(claimant), "it does not wait")


@pytest.fixture
def claimants(tmp_path: Path) -> Iterator[Claimants]:
    made = Claimants(tmp_path / "job" / "folder")
    made.folder.mkdir(parents=True)
    yield made
    for started in made.started:
        if started.poll() is None:
            started.kill()
        started.communicate()


def next_line(claimant: subprocess.Popen[str]) -> str:
    """Read the next line that a claimant prints."""
    assert claimant.stdout
    return claimant.stdout.readline().strip()


def owner_pid(claimants: Claimants, number: int) -> int | None:
    """Process id of the owner of an attempt; ``None`` while there is no such attempt."""
    owner = Owner.read(claimants.folder / "attempts" / str(number) / "owner.json")
    return owner.pid if owner else None


def go_on(claimant: subprocess.Popen[str]) -> str:
    """Let a claimant commit; return the outcome that it prints."""
    assert claimant.stdin
    claimant.stdin.write("\n")
    claimant.stdin.flush()
    return next_line(claimant)


def test_of_many_on_several_hosts_one_does_the_job_and_the_others_find_it_done(
    claimants: Claimants,
) -> None:
    many = [claimants.start(host, lost_after_s=PATIENT) for host in "aabbcc"]
    until(lambda: any((claimants.folder / "attempts").glob("1/claim")), "nobody took it")
    (first,) = [one for one in many if one.pid == owner_pid(claimants, 1)]
    assert next_line(first) == "held 1" and go_on(first) == "committed"
    assert [next_line(one) for one in many if one is not first] == ["done"] * 5
    assert claimants.record.read_text() == "attempt 1"


def test_an_owner_killed_on_this_host_is_noticed_at_once(claimants: Claimants) -> None:
    first, second = claimants.start("a", lost_after_s=PATIENT), None
    assert next_line(first) == "held 1"
    second = claimants.start("a", lost_after_s=PATIENT)
    claimants.waits(second)
    first.kill()
    assert next_line(second) == "held 2" and go_on(second) == "committed"
    log = claimants.log(second)
    assert (
        f"process {first.pid} on a (since 20" in log and "ended without finishing this job" in log
    )


def test_a_program_that_a_killed_owner_left_behind_keeps_the_job_on_its_host(
    claimants: Claimants,
) -> None:
    (claimants.folder.parent / "program.py").write_text("import time; time.sleep(60)")
    code = (
        "import pathlib, subprocess, sys; from sandbox.store.claims import take\n"
        "claim = take(pathlib.Path(sys.argv[1]), 'job', lambda: False)\n"
        "print(subprocess.Popen([sys.executable, sys.argv[2]], close_fds=False).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    variables = {**os.environ, "SANDBOX_HOST": "a", "PYTHONPATH": str(ROOT)}
    owner = subprocess.Popen(
        [sys.executable, "-c", code, claimants.folder, claimants.folder.parent / "program.py"],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    program = int(next_line(owner))
    owner.kill()
    owner.wait()
    waiting = claimants.start("a")
    claimants.waits(waiting)
    lasts(lambda: claimants.num_attempts() == 1, "the job was taken", 2 * LOST_AFTER_S)
    assert alive(program)
    assert "that it left behind" in claimants.log(waiting)
    os.kill(program, signal.SIGKILL)
    assert next_line(waiting) == "held 2"


@pytest.mark.parametrize("skew_s", [0, 86_400, -86_400])
def test_an_owner_with_a_wrong_clock_keeps_its_job_while_it_runs(
    claimants: Claimants, skew_s: float
) -> None:
    first = claimants.start("a", "--skew", str(skew_s))
    assert next_line(first) == "held 1"
    second = claimants.start("b")
    claimants.waits(second)
    lasts(lambda: claimants.num_attempts() == 1, "the job was taken", 3 * LOST_AFTER_S)
    assert go_on(first) == "committed" and next_line(second) == "done"


@pytest.mark.parametrize("skew_s", [0, 86_400, -86_400])
def test_the_job_of_a_dead_owner_is_taken_over_by_one_waiting_process(
    claimants: Claimants, skew_s: float
) -> None:
    first = claimants.start("a", "--skew", str(skew_s))
    assert next_line(first) == "held 1"
    others = [claimants.start(host) for host in "bcdd"]
    first.kill()
    until(lambda: any((claimants.folder / "attempts").glob("2/claim")), "nobody took it over")
    lasts(lambda: claimants.num_attempts() == 2, "it was taken again", 2 * LOST_AFTER_S)
    (second,) = [other for other in others if other.pid == owner_pid(claimants, 2)]
    assert next_line(second) == "held 2" and go_on(second) == "committed"
    assert [next_line(other) for other in others if other is not second] == ["done"] * 3
    assert sum("taking over" in claimants.log(other) for other in others) == 1


@pytest.mark.parametrize("comes_back", ["before", "after"])
def test_a_suspended_owner_that_lost_its_job_does_not_commit(
    claimants: Claimants, comes_back: str
) -> None:
    """``comes_back``: before or after the new owner commits."""
    first = claimants.start("a")
    assert next_line(first) == "held 1"
    first.send_signal(signal.SIGSTOP)
    second = claimants.start("b")
    assert next_line(second) == "held 2"
    if comes_back == "after":
        assert go_on(second) == "committed"
    first.send_signal(signal.SIGCONT)
    refused = go_on(first)
    assert refused.startswith("lost: job: attempt 1 sent no heartbeat for too long"), refused
    assert f"process {second.pid} on b (since " in refused and "is not recorded" in refused
    if comes_back == "before":
        assert not claimants.record.exists() and go_on(second) == "committed"
    assert claimants.record.read_text() == "attempt 2"


def test_a_suspended_owner_on_this_host_keeps_its_job(claimants: Claimants) -> None:
    first = claimants.start("a")
    assert next_line(first) == "held 1"
    first.send_signal(signal.SIGSTOP)
    second = claimants.start("a")
    claimants.waits(second)
    lasts(lambda: claimants.num_attempts() == 1, "the job was taken", 2 * LOST_AFTER_S)
    first.send_signal(signal.SIGCONT)
    assert go_on(first) == "committed" and next_line(second) == "done"


def test_without_locks_heartbeats_show_that_an_owner_is_alive(claimants: Claimants) -> None:
    first = claimants.start("a", "--no-locks")
    assert next_line(first) == "held 1"
    second = claimants.start("a", "--no-locks")
    claimants.waits(second)
    lasts(lambda: claimants.num_attempts() == 1, "the job was taken", 2 * LOST_AFTER_S)
    first.kill()
    assert next_line(second) == "held 2"


def test_an_owner_killed_while_it_takes_a_job_holds_up_nobody(claimants: Claimants) -> None:
    (claimants.folder / "attempts" / ".half").mkdir(parents=True)
    (claimants.folder / "attempts" / ".half" / "claim").touch()
    assert next_line(claimants.start("a", lost_after_s=PATIENT)) == "held 1"


def test_what_killed_processes_left_half_made_is_removed(tmp_path: Path) -> None:
    for name in (".half", ".left.other"):
        (tmp_path / "attempts" / name).mkdir(parents=True)
        (tmp_path / "attempts" / name / "owner.json").touch()
    (tmp_path / ".config.yaml.12345678").touch()
    claim = claims.take(tmp_path, "job", lambda: False)
    assert claim
    claim.end_as(tmp_path / "record.json", "the record")
    claim.release()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["attempts", "attempts/1", "attempts/1/owner.json", "record.json"]


def test_a_process_whose_preparation_was_cleaned_up_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals = iter([claims._remove_litter])
    touch = Path.touch

    def cleaned_up_before(path: Path) -> None:
        next(removals, lambda folder: None)(tmp_path / "attempts")
        touch(path)

    monkeypatch.setattr(Path, "touch", cleaned_up_before)
    claim = claims.take(tmp_path, "job", lambda: False)
    assert claim and claim.number == 1 and claim.is_held
    claim.release()


def test_a_claim_that_became_a_record_stays_one(tmp_path: Path) -> None:
    """Ctrl-C may come just after the record is there."""
    claim = claims.take(tmp_path, "job", lambda: False)
    assert claim and claim.is_held
    claim.end_as(tmp_path / "record.json", "the record")
    with pytest.raises(claims.ClaimLost):
        claim.end_as(tmp_path / "failure.json", "the failure")
    claim.release()
    assert (tmp_path / "record.json").read_text() == "the record"
    assert not (tmp_path / "failure.json").exists()


def test_reading_a_recorded_result_waits_for_nobody(chain: Project) -> None:
    first = chain.run("chain")
    chain.ran()
    held = [claims.take(path.parent, "job", lambda: False) for path in chain.records("train")]
    assert chain.run("chain") == first and chain.ran() == []
    for claim in held:
        assert claim and claim.number == 2
        claim.release()


@pytest.mark.slow
def test_a_late_owners_program_writes_where_the_new_owner_does_not(chain: Project) -> None:
    """The driver on host a is suspended, its training goes on beside that of host b."""
    options = ("+jobs.train.executor.gate=training",)
    one = chain.start("chain", *options, SANDBOX_HOST="a", SANDBOX_LOST_AFTER_S="1")
    (first,) = chain.wait_for("training")
    one.send_signal(signal.SIGSTOP)
    (chain.gate / "training.here").unlink()
    two = chain.start("chain", *options, SANDBOX_HOST="b", SANDBOX_LOST_AFTER_S="1")
    (second,) = chain.wait_for("training")
    assert first != second and alive(first)
    chain.let_go("training")
    assert finish(two).code == 0
    (record,) = chain.records("train")
    until(lambda: (record.parent / "out" / "checkpoint.json").exists(), "the first wrote nothing")
    before = record.read_text()
    assert '"after_1/out/checkpoint.json"' in before
    one.send_signal(signal.SIGCONT)
    outcome = finish(one)
    assert outcome.code == 1 and "Traceback" not in outcome.text
    assert "train: attempt 1 sent no heartbeat for too long" in outcome.err, outcome.err
    assert f"process {two.pid} on b" in outcome.err and "is not recorded" in outcome.err
    assert record.read_text() == before
    again = chain.main("chain", *options)
    assert again.code == 0 and chain.ran().count("training data.jsonl small 0.1 0") == 2


def test_a_late_owner_that_has_not_begun_leaves_its_successors_record_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was suspended between taking the job and making room for its results."""
    project.write("toy", experiment({"add": data_job("Add")}))
    prepare = _Attempt._prepare

    def late(attempt: _Attempt) -> None:
        monkeypatch.setattr(_Attempt, "_prepare", prepare)
        folder = attempt.claim.attempt_dir
        (folder / "claim").rename(folder / "lost")
        project.run("toy")
        prepare(attempt)

    monkeypatch.setattr(_Attempt, "_prepare", late)
    with pytest.raises(JobFailed, match="took the job over"):
        project.run("toy")
    (record,) = project.records("add")
    assert sorted(path.name for path in (record.parent / "attempts").iterdir()) == ["1", "2"]
    project.run("toy")
    assert project.ran() == ["add 0 1"]


def test_a_failed_owner_puts_no_old_record_over_its_successors(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was suspended between asking for its claim and putting the old result back."""
    project.write("toy", experiment({"make": data_job("Unstable", error_once_done=True)}))
    project.run("toy")
    (record,) = project.records("make")
    put_back = _Attempt._put_back_record

    def late(attempt: _Attempt) -> None:
        record.write_text("the successor's")
        put_back(attempt)

    monkeypatch.setattr(_Attempt, "_put_back_record", late)
    (project.gate / "break").touch()
    with pytest.raises(JobFailed, match="broke after writing"):
        project.run("toy", "force=[make]")
    assert record.read_text() == "the successor's"


def test_a_copy_that_a_killed_process_left_is_removed(project: Project) -> None:
    job = ("train_model", {"executor": {"_target_": "toys.ResumableTraining", "num_steps": 4}})
    project.write("toy", experiment({"train": job}))
    with pytest.raises(JobFailed, match="the machine went away"):
        project.run("toy")
    (folder,) = (project.root / "outputs/store/train").iterdir()
    (folder / "attempts/1/failure.json").rename(folder / "attempts/1/lost")
    (folder / "after_1/copy_2").mkdir(parents=True)
    project.run("toy")
    assert not (folder / "after_1/copy_2").exists()


def test_another_host_resumes_the_work_of_a_lost_attempt(project: Project) -> None:
    job = ("train_model", {"executor": {"_target_": "toys.ResumableTraining", "num_steps": 4}})
    project.write("toy", experiment({"train": job}))
    with pytest.raises(RuntimeError, match="the machine went away"):
        project.run("toy")
    (folder,) = (project.root / "outputs/store/train").iterdir()
    (folder / "attempts/1/failure.json").rename(folder / "attempts/1/lost")
    project.run("toy")
    assert project.ran() == ["resumed at 0", "resumed at 2"]
    assert (folder / "out/steps.txt").read_text().split() == ["0", "1"], (
        "as the lost attempt left it"
    )
    assert Path(project.info("train")["checkpoint_path"]).read_text().split() == [
        "0",
        "1",
        "2",
        "3",
    ]
    assert len(project.metrics()["train.loss"]) == 4


def test_after_a_lost_attempt_a_forced_run_that_fails_puts_the_old_result_back(
    project: Project,
) -> None:
    job = data_job("Unstable", stable=False, error_once_done=True)
    project.write("toy", merge(experiment({"make": job}), {}))
    project.run("toy")
    (record,) = project.records("make")
    (record.parent / "attempts/1/lost").touch()
    project.run("toy", "force=make")
    path = Path(project.info("make")["path"])
    before, content = record.read_text(), path.read_text()
    (project.gate / "break").touch()
    with pytest.raises(RuntimeError, match="broke after writing"):
        project.run("toy", "force=make")
    assert record.read_text() == before and path.read_text() == content
    assert path.parent.parent.name == "after_1"
