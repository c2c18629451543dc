"""Hard cases: kills, full disks, odd names, programs and components that behave badly."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_project import ROOT, Project, alive, data_job, experiment, finish, until

from sandbox.components.problem import PlanError, Problem
from sandbox.executors import BaseModelExecutor
from sandbox.job import JobFailed, JobScope
from sandbox.store.content import ContentHashes
from sandbox.store.records import JobStore


@pytest.fixture(autouse=True)
def bad_toys(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the toys that behave badly."""
    project.variables["SANDBOX_ALLOW_TARGETS"] = "toys.*,bad_toys.*"
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "toys.*,bad_toys.*")


def bad_job(target: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A job of a toy that behaves badly."""
    return "general_data_executor", {"executor": {"_target_": f"bad_toys.{target}", **arguments}}


def test_env_set_of_an_experiment_allows_no_targets(project: Project) -> None:
    body = experiment(
        {
            "x": (
                "general_data_executor",
                {"executor": {"_target_": "logging.FileHandler", "filename": "pwned"}},
            )
        }
    )
    body["hydra"] = {"job": {"env_set": {"SANDBOX_ALLOW_TARGETS": "logging.*,toys.*"}}}
    project.write("toy", body)
    outcome = project.main("toy")
    assert not (project.root / "pwned").exists()
    assert outcome.code == 2 and "not allowed" in outcome.err


def test_a_program_without_a_last_newline_ends(tmp_path: Path) -> None:
    class Quiet(BaseModelExecutor):
        async def _run(self, data: Any, *, scope: JobScope) -> None:
            scope.log_path.write_text("100%")

        def outputs(self, *, scope: JobScope) -> None:
            return None

    scope = JobScope("job", tmp_path, tmp_path / "log", lambda metrics, step=None: None)
    signal.alarm(10)
    Quiet().run(scope=scope)
    signal.alarm(0)


@pytest.mark.parametrize(
    "line",
    [
        '{"metrics": {"loss": 1}, "st',
        '{"metrics": {"loss": 1}, "step": 1}Warning: x',
        '{"metrics": 5}',
        '{"metrics"',
    ],
)
def test_a_garbled_metric_fails_no_training(tmp_path: Path, line: str) -> None:
    seen = []

    class Noisy(BaseModelExecutor):
        async def _run(self, data: Any, *, scope: JobScope) -> None:
            scope.log_path.write_text(line + '\n{"metrics": {"loss": 2}, "step": 2}\n')

        def outputs(self, *, scope: JobScope) -> None:
            return None

    def watch(metrics: Any, step: int | None = None) -> None:
        seen.append((metrics, step))

    Noisy().run(scope=JobScope("job", tmp_path, tmp_path / "log", watch))
    assert seen[-1] == ({"loss": 2}, 2)


def test_a_component_that_exits_with_0_has_failed(project: Project) -> None:
    for compute in ("inline", "local"):
        project.write("toy", experiment({"x": bad_job("Exits", code=0)}))
        outcome = project.main("toy", f"compute={compute}")
        assert outcome.code == 1 and "x" in outcome.err, (compute, outcome)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_seeds_with_a_score_that_is_no_number(project: Project, scale: float) -> None:
    node = {"eval_obj": None, "evaluator": {"_target_": "toys.Noise", "scale": scale}, "seeds": 2}
    project.write("toy", experiment({"x": ("evaluate_model", node)}))
    project.run("toy")
    assert math.isnan(project.info("x")["score_std"]) and not math.isfinite(
        project.info("x")["score"]
    )


def test_pictures_that_a_forced_job_draws_anew_are_recorded(project: Project) -> None:
    project.write("toy", experiment({"x": bad_job("Pictures")}))
    project.run("toy")
    project.ran()
    project.run("toy", "force=[x]")
    record = project.records("x")[0].read_text()
    project.run("toy")
    assert project.records("x")[0].read_text() == record, "it is as it was recorded"


def test_a_job_whose_program_left_a_daemon_can_be_tried_again(project: Project) -> None:
    project.write("toy", experiment({"x": bad_job("Daemon")}))
    assert project.main("toy").code == 1
    again = project.start("toy")
    assert finish(again, 20).code == 1


@pytest.mark.parametrize(
    "name", ["../up", "/tmp/absolute", "a/b", "a.b", "a[0]", ".", "", 1, ["x"], {"x": 1}], ids=str
)
def test_an_invalid_job_name_is_a_problem_of_the_plan(project: Project, name: Any) -> None:
    """It names a folder of the store, and the first part of a reference."""
    body = experiment({"x": data_job("Add")})
    if isinstance(name, (str, int)):
        body["jobs"][name] = body["jobs"]["x"]
    body["pipelines"]["main"]["execution_jobs"] = [name]
    project.write("toy", body)
    (problem,) = project.problems("toy")
    assert (problem.kind, problem.where) == ("job_list", "pipelines.main.execution_jobs")


def test_problems_survive_the_way_from_another_process() -> None:
    problems = [Problem("a", "job", "one"), Problem("b", "secret", "two", "three")]
    error = pickle.loads(pickle.dumps(PlanError(problems)))
    assert str(error) == "a: one\nb: two; three" and error.problems == problems
    assert [problem.kind for problem in error.problems] == ["job", "secret"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a.b": 1}, {"a": {"b": 1}}),
        (["p", "q"], {"0": "p", "1": "q"}),
        ({"0": "p"}, {0: "p"}),
        (["p"], {0: "p"}),
        ([], {}),
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "null"),
    ],
    ids=str,
)
def test_arguments_that_look_alike_have_different_fingerprints(
    project: Project, one: Any, other: Any
) -> None:
    for value in (one, other):
        project.write("toy", experiment({"x": data_job("Value", value=value)}))
        project.run("toy")
    assert len(project.records("x")) == 2


def test_files_behind_a_link_to_a_folder_count(project: Project) -> None:
    real, top = Path("real").absolute(), Path("top")
    real.mkdir()
    top.mkdir()
    (real / "x").write_text("1")
    (top / "link").symlink_to(real)
    (top / "nowhere").symlink_to("nothing")
    (real / "back").symlink_to(top.absolute())
    os.mkfifo(top / "pipe")
    before = ContentHashes(Path("store")).of(top)
    (real / "x").write_text("22")
    assert ContentHashes(Path("store")).of(top) != before


def test_a_store_behind_a_link_knows_its_pictures_by_content(project: Project) -> None:
    Path("elsewhere").mkdir()
    Path("outputs").symlink_to("elsewhere")
    picture = Path("outputs/store/x/1.png").absolute()
    picture.parent.mkdir(parents=True)
    picture.write_text("red")
    Path("pool.jsonl").write_text(json.dumps({"images": [str(picture)]}))
    before = ContentHashes(Path("outputs/store")).of(Path("pool.jsonl"))
    os.utime(picture, (1, 1))
    assert ContentHashes(Path("outputs/store")).of(Path("pool.jsonl")) == before


def test_dry_run_that_cannot_expand(project: Project) -> None:
    jobs = {
        "one": data_job("Add"),
        "sum": data_job("Add", also={"map": {"executor": {"start": "${output:one.value}"}}}),
    }
    project.write("toy", experiment(jobs))
    project.main("toy")
    outcome = project.main("toy", "dry_run=true")
    assert outcome.code == 1 and "Traceback" not in outcome.text


@pytest.mark.parametrize(
    "text", ["${previous:one.value, 1}/x", "${previous:one.value, 1} ${previous:one.value, 2}"]
)
def test_a_reference_to_the_last_iteration_inside_a_text_is_refused(
    project: Project, text: str
) -> None:
    score = ("evaluate_model", {"eval_obj": text, "evaluator": {"_target_": "toys.Noise"}})
    project.write("toy", experiment({"one": data_job("Add"), "score": score}))
    (problem,) = project.problems("toy")
    assert (problem.kind, problem.where) == ("reference", "jobs.score")
    assert "whole value" in problem.text


def test_mapped_components_must_declare_the_same_outputs(project: Project) -> None:
    parts = [{"_target_": "toys.Noise"}, {"_target_": "toys.Reader", "dataset_path": "conf"}]
    node = {"eval_obj": None, "evaluator": "???", "map": {"evaluator": parts}}
    project.write("toy", experiment({"x": ("evaluate_model", node)}))
    (problem,) = project.problems("toy")
    assert (problem.kind, problem.where) == ("map", "jobs.x.map.evaluator")
    assert "num_samples; score, label" in problem.text


def test_a_run_stays_in_the_working_directory(project: Project) -> None:
    """Elsewhere neither its inputs nor the store would be found again."""
    project.write("toy", experiment({"x": data_job("Add")}))
    outcome = project.main("toy", "hydra.job.chdir=true")
    assert outcome.code == 2 and "hydra.job.chdir" in outcome.err


def test_a_second_interrupt_leaves_no_program_behind(tmp_path: Path) -> None:
    stubborn = "import signal, time; note = lambda *_: print('asked to end', flush=True)"
    stubborn += "; signal.signal(signal.SIGTERM, note)"
    lasting = f"{stubborn}; print('here', flush=True); time.sleep(60)"
    program = [sys.executable, "-c", lasting]
    log_path = tmp_path / "log"
    arguments = f"{program!r}, log_path=pathlib.Path({str(log_path)!r})"
    code = f"import pathlib; from sandbox.system import process; process.run({arguments})"
    started = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    until(lambda: log_path.exists() and "here" in log_path.read_text(), "it did not start")
    child = int(Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text())
    os.kill(started.pid, signal.SIGINT)
    until(lambda: "asked to end" in log_path.read_text(), "the program was not asked to end")
    os.kill(started.pid, signal.SIGINT)
    started.communicate(timeout=20)
    assert not alive(child)


@pytest.mark.parametrize("compute", ["inline", "local"])
def test_a_lost_terminal_interrupts_the_run_and_its_programs(chain: Project, compute: str) -> None:
    running = chain.start("chain", "+jobs.train.executor.gate=training", f"compute={compute}")
    (pid,) = chain.wait_for("training")
    os.killpg(running.pid, signal.SIGHUP)
    outcome = finish(running)
    assert outcome.code == 1 and "interrupted" in outcome.err
    assert not alive(pid)


def test_a_metrics_line_that_was_cut_short_fails_no_later_attempt(project: Project) -> None:
    job = ("train_model", {"executor": {"_target_": "toys.ResumableTraining", "num_steps": 4}})
    project.write("toy", experiment({"train": job}))
    with pytest.raises(RuntimeError, match="the machine went away"):
        project.run("toy")
    (path,) = (project.root / "outputs/store/train").glob("*/metrics.jsonl")
    path.write_text(path.read_text() + '{"metrics": {"lo')
    project.run("toy")
    assert project.ran() == ["resumed at 0", "resumed at 2"]


def test_a_part_of_an_output_counts_by_content_where_no_path_is_asked_for(project: Project) -> None:
    jobs = {"make": bad_job("Folder"), "read": data_job("Value", value="${output:make.path}/x.txt")}
    project.write("toy", experiment(jobs))
    project.run("toy")
    project.ran()
    project.run("toy", "force=[make]")
    assert len(project.ran()) == 1


@pytest.mark.parametrize("more", [[], ["--multirun"]], ids=["run", "sweep"])
@pytest.mark.parametrize("given", ["sesame", "${oc.env:NONE,sesame}"])
def test_a_literal_secret_is_refused_and_left_nowhere(
    project: Project, given: str, more: list[str]
) -> None:
    project.write("toy", experiment({"x": data_job("Login", token=given)}))
    outcome = project.main("toy", *more)
    assert (
        outcome.code == 2 and "never as a literal" in outcome.err and "sesame" not in outcome.text
    )
    files = [path for path in (project.root / "outputs").rglob("*") if path.is_file()]
    assert not [path for path in files if "sesame" in path.read_text()]


def test_runs_in_one_folder_replace_each_others_links(project: Project) -> None:
    project.write("a", experiment({"x": data_job("Add")}))
    project.write(
        "b", experiment({"x": data_job("Add", also={"map": {"executor": {"by": [1, 2]}}})})
    )
    for name in ("a", "b", "a"):
        outcome = project.main(name, "hydra.run.dir=outputs/here")
        assert outcome.code == 0, outcome.err
    assert (project.root / "outputs/here/jobs/x/record.json").exists()
    assert not [*(project.root / "outputs/store/x").glob("*/[01]")], "a link in a store's folder"


def test_metrics_come_once_when_a_deleted_output_is_made_again(chain: Project) -> None:
    chain.run("chain")
    first = chain.metrics()
    shutil.rmtree(Path(chain.info("score")["details_path"]).parent)
    chain.run("chain")
    assert chain.metrics() == first


def test_a_forced_run_that_cannot_write_its_record_puts_the_old_result_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("toy", experiment({"make": bad_job("Folder")}))
    project.run("toy")
    (record,) = project.records("make")
    before = record.read_text()

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JobStore, "commit", full)
    with pytest.raises(JobFailed, match=r"make: .*No space left on device\nlog: "):
        project.run("toy", "force=[make]")
    project.run("toy")
    assert record.read_text() == before


@pytest.mark.slow
def test_an_attempt_killed_before_any_of_its_file_operations_is_tried_again(
    project: Project,
) -> None:
    project.write("toy", experiment({"make": bad_job("Folder")}))
    project.run("toy")
    for number in range(100):
        (path,) = (project.root / "outputs/store/make").glob("*/out/x.txt")
        path.write_text("harmed")
        pid = os.fork()
        if pid == 0:
            _run_until_operation(project, number)
        killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        project.run("toy")
        assert path.read_text() != "harmed"
        if not killed:
            return
    raise AssertionError("it never came to its end")


def _run_until_operation(project: Project, number: int) -> None:
    """Run, and end this process as ``kill -9`` would before it moves or makes that file."""
    left = iter(range(number))

    def until_then(operation: Any) -> Any:
        return lambda *given, **more: (
            operation(*given, **more) if next(left, None) is not None else os._exit(9)
        )

    for name in ("replace", "rename", "mkdir", "touch", "open"):
        setattr(Path, name, until_then(getattr(Path, name)))
    try:
        project.run("toy")
    finally:
        os._exit(0)


@pytest.mark.parametrize("delay_s", [0.05, 0.1, 0.15])
def test_an_interrupt_while_a_process_starts_begins_no_item(tmp_path: Path, delay_s: float) -> None:
    """It has a program of its own, because the signal cannot be timed from inside."""
    (tmp_path / "items.py").write_text("import time\ndef item(x):\n    time.sleep(60)\n")
    (tmp_path / "launch.py").write_text(
        "import items, os, signal, threading\n"
        "from sandbox.compute.local import Local\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with Local(num_workers=1).open() as compute:\n"
        f"            threading.Timer({delay_s}, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "            list(compute.map(items.item, [1]))\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "launch.py"], cwd=tmp_path, env=variables, timeout=20, check=True
    )


@pytest.mark.parametrize(
    "more",
    [
        {"pipelines": None},
        {"jobs": None},
        {"dry_run": "maybe"},
        {"store_dir": None},
        {"targets": 3},
        {"objective": 3},
        {"force": 3},
    ],
    ids=str,
)
def test_a_top_level_setting_that_cannot_be_read_is_a_problem(
    project: Project, more: dict[str, Any]
) -> None:
    project.write("toy", {**experiment({"x": data_job("Add")}), **more})
    (problem,) = project.problems("toy")
    assert problem.where == next(iter(more))
    assert problem.kind == ("setting" if "store_dir" in more else "wrong_type")


@pytest.mark.parametrize(
    "executor", [None, "rows", [], {"_target_": "sandbox.compute.inline.Inline"}], ids=str
)
def test_an_argument_that_takes_a_component_takes_nothing_else(
    project: Project, executor: Any
) -> None:
    body = experiment({"x": ("general_data_executor", {"executor": executor})})
    project.write("toy", body)
    (problem,) = project.problems("toy")
    assert problem.where == "jobs.x.executor"
    assert "expected BaseDataExecutor" in problem.text


def test_a_seed_is_given_once(project: Project) -> None:
    job = (
        "evaluate_model",
        {"eval_obj": None, "evaluator": {"_target_": "toys.Noise"}, "seeds": [1, 1]},
    )
    project.write("toy", experiment({"x": job}))
    (problem,) = project.problems("toy")
    assert (problem.kind, problem.where) == ("seeds", "jobs.x.seeds")


def test_a_file_name_may_hold_any_byte(project: Project) -> None:
    Path("folder").mkdir()
    (project.root / os.fsdecode(b"folder/\xff.txt")).write_text("1")
    options = {
        "_target_": "toys.Reader",
        "dataset_path": "conf/experiment/toy.yaml",
        "more": ["folder"],
    }
    project.write(
        "toy", experiment({"x": ("evaluate_data", {"eval_obj": None, "evaluator": options})})
    )
    project.run("toy")
    project.run("toy")
    assert len(project.ran()) == 1


@pytest.mark.parametrize(
    "text", ["def broken(:", "raise KeyError('no')", "import nothing_of_that_name"], ids=str
)
def test_a_module_that_cannot_be_imported_is_a_problem(project: Project, text: str) -> None:
    (project.root / "mine.py").write_text(text)
    project.write(
        "toy", experiment({"x": ("general_data_executor", {"executor": {"_target_": "mine.Mine"}})})
    )
    paths = os.pathsep.join([project.variables["PYTHONPATH"], str(project.root)])
    outcome = project.main("toy", SANDBOX_ALLOW_TARGETS="mine.*", PYTHONPATH=paths)
    assert (
        outcome.code == 2 and "cannot import mine" in outcome.err and "Traceback" not in outcome.err
    )


def test_a_full_disk_fails_the_job_and_leaves_no_record(project: Project) -> None:
    project.write("toy", experiment({"x": bad_job("Big")}))
    code = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.argv = ['sandbox', '+experiment=toy', 'watcher.mode=disabled']\n"
        "runpy.run_module('sandbox', run_name='__main__')"
    )
    variables = {**os.environ, **project.variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert (
        done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    )
    assert project.records("x") == []
    assert project.main("toy").code == 0


def test_a_folder_of_outputs_may_have_any_name(project: Project) -> None:
    jobs = {
        "x": data_job("Rows", word="ünï 'x' $y"),
        "r": data_job("Value", value="${output:x.path}"),
    }
    project.write("a", experiment(jobs))
    assert project.main("a", "outputs_dir='my outputs, = [x] ü'").code == 0
    assert [*project.root.glob("my outputs*/store/r/*/record.json")]


@pytest.mark.slow
def test_a_sweep_through_submitit_runs_each_trial(project: Project) -> None:
    jobs = {"a": data_job("Add"), "b": data_job("Add", start="${output:a.value}")}
    project.write("toy", experiment(jobs))
    outcome = project.main(
        "toy", "--multirun", "+jobs.a.executor.by=1,2", "hydra/launcher=submitit_local"
    )
    assert outcome.code == 0, outcome.text
    assert len(project.records("b")) == 2
