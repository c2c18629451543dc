"""Wrong inputs before the start: one short message with the place, exit status 2, and no file."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

LONG = "n" * 300


def refused(project: Project, *overrides: str, **variables: str) -> str:
    """Return the message of a run that is refused; it has written nothing."""
    before = {path for path in project.root.rglob("*") if path.is_file()}
    outcome = project.main("toy", *overrides, **variables)
    assert outcome.code == 2, outcome.text
    assert "Traceback" not in outcome.text and len(outcome.text) < 4096
    assert {path for path in project.root.rglob("*") if path.is_file()} == before
    return outcome.err


def write(project: Project, line: str) -> None:
    """Write the experiment ``toy`` with one more line of YAML."""
    project.write("toy", experiment({"add": data_job("Add")}))
    path = project.root / "conf/experiment/toy.yaml"
    path.write_text(f"{path.read_text()}{line}\n")


@pytest.mark.parametrize("size", [1, 3])
def test_defaults_in_a_circle_are_named(project: Project, size: int) -> None:
    names = ["toy", *(f"more_{index}" for index in range(1, size))]
    for index, name in enumerate(names):
        project.write(name, f"defaults: [{names[(index + 1) % size]}, _self_]\n")
    message = refused(project)
    assert all(f"experiment/{name}" in message for name in names) and "circle" in message


@pytest.mark.parametrize(
    ("opening", "closing", "depth"),
    [("[", "]", 41), ("{a: ", "}", 120), ("[", "]", 3000), ("[{a: ", "}]", 40_000)],
)
def test_a_config_that_is_nested_too_deeply_is_named(
    project: Project, opening: str, closing: str, depth: int
) -> None:
    write(project, f"mine: {opening * depth}1{closing * depth}")
    message = refused(project)
    assert "nested more than 40 deep" in message
    assert "mine" in message or "experiment/toy" in message


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("mine: !!binary aGVsbG8=", "mine: given a value of the kind bytes"),
        ("mine: {a: [!!binary aGVsbG8=]}", "mine.a.0: given a value of the kind bytes"),
        ("mine: !!python/object/apply:os.system [id]", "toy.yaml"),
        ("mine: !!set {a}", "mine"),
        ("mine: !!int x", "experiment/toy: cannot be read"),
        ("cap: {numbers: 3}", "cap.numbers: given 3"),
        ("cap: {lists: {paths: -1}}", "cap.lists.paths: given -1"),
        ('outputs_dir: ""', "outputs_dir: given ''"),
        ("outputs_dir: /", "outputs_dir: given '/'"),
        ('outputs_dir: "a\\0b"', "outputs_dir: given 'a\\x00b'"),
        ("outputs_dir: conf/experiment/toy.yaml", "toy.yaml is a file"),
        (f"outputs_dir: {LONG}", "outputs_dir: nnn"),
        ('store_dir: " "', "store_dir: given ' '"),
        ("store_dir: a/../../../../../../../../../..", "store_dir: given 'a/.."),
        (f"store_dir: {LONG}", "store_dir:"),
        ("max_iterations: ${nope}", "max_iterations: Interpolation key 'nope'"),
        ("mine: {a: '${mine}'}\nobjective: ${mine}", "mine.a: "),
    ],
)
def test_a_wrong_value_is_named_with_its_place(project: Project, line: str, place: str) -> None:
    write(project, line)
    assert place in refused(project)


@pytest.mark.parametrize(
    "place",
    [
        *("pipelines", "pipelines.main", "pipelines.main.execution_jobs", "jobs", "jobs.add"),
        *("targets", "targets.any", "objective", "force", "cap", "cap.numbers", "store_dir"),
        *("compute", "jobs.add.map", "jobs.add.seeds", "jobs.add.executor"),
    ],
)
def test_an_interpolation_that_leads_nowhere_is_named_anywhere(
    project: Project, place: str
) -> None:
    config: dict[str, Any] = experiment({"add": data_job("Add")})
    inner = config
    for key in place.split(".")[:-1]:
        inner = inner.setdefault(key, {})
    inner[place.rpartition(".")[2]] = "${nope}"
    project.write("toy", config)
    problems = project.problems("toy")
    assert place in [problem.where for problem in problems], problems
    assert {problem.kind for problem in problems} == {"interpolation"}


@pytest.mark.parametrize("text", ["3", "a: [1", "a: \xff", "a: \0", "a: 1\n---\nb: 2"])
def test_a_file_that_is_no_config_is_named(project: Project, text: str) -> None:
    path = project.root / "conf/experiment/toy.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    message = refused(project)
    assert "experiment/toy" in message


def test_a_long_experiment_name_is_named(project: Project) -> None:
    write(project, "")
    assert "experiment_name: given 'nnn" in refused(project, f"experiment_name={LONG}")


def test_a_long_job_name_is_a_problem_of_its_list(project: Project) -> None:
    project.write("toy", experiment({LONG: data_job("Add")}))
    (problem,) = project.problems("toy")
    assert (problem.where, problem.kind) == ("pipelines.main.execution_jobs", "job_list")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", None, "pipe"], ids=["not UTF-8", "folder", "pipe"]
)
@pytest.mark.parametrize("command", ["run", "doctor"])
def test_an_allow_file_that_cannot_be_read_is_named(
    project: Project, content: bytes | str | None, command: str
) -> None:
    write(project, "")
    path = project.root / "settings/sandbox/allow_targets"
    path.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is None:
        path.mkdir()
    else:
        os.mkfifo(path)
    words = ["doctor"] if command == "doctor" else ["+experiment=toy"]
    outcome = project.command(*words)
    assert outcome.code == (1 if command == "doctor" else 2)
    assert str(path) in outcome.out + outcome.err and "Traceback" not in outcome.err


def test_a_relative_config_home_does_not_lead_into_the_working_directory(project: Project) -> None:
    write(project, "")
    path = project.root / "sandbox/allow_targets"
    path.parent.mkdir()
    path.write_text("toys.*\n")
    for home in ("", "."):
        message = refused(project, XDG_CONFIG_HOME=home, SANDBOX_ALLOW_TARGETS="", HOME="/none")
        assert "toys.Add is not allowed" in message


def test_a_dry_run_writes_nothing(project: Project) -> None:
    write(project, "")
    before = {*project.root.rglob("*")}
    outcome = project.main("toy", "dry_run=true")
    assert outcome.code == 0 and "add" in outcome.out
    assert {*project.root.rglob("*")} == before


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_dry_run_works_where_nothing_can_be_written(project: Project) -> None:
    jobs = {"add": data_job("Add"), "more": data_job("Value", value="${output:add.path}")}
    project.write("toy", experiment(jobs))
    assert project.main("toy").code == 0
    (project.root / "outputs/store/hashes.jsonl").unlink(missing_ok=True)
    run = [sys.executable, "-m", "sandbox", "+experiment=toy", "dry_run=true"]
    script = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; cd "$1"; shift; "$@"'
    )
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        str(project.root),
        *run,
    ]
    variables = {**os.environ, **project.variables}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode in (1, 99) and "mount" in done.stderr + "unshare":
        pytest.skip(f"no mounts here: {done.stderr}")
    assert done.returncode == 0 and done.stdout.count("recorded") == 2, done


def test_an_interrupt_while_modules_are_imported_leaves_no_traceback(project: Project) -> None:
    """The interrupt comes when the first module of Hydra is imported."""
    (project.root / "first").mkdir()
    hook = "import os, signal, sys\nclass Finder:\n    def find_spec(self, name, *_):\n"
    hook += "        if name == 'hydra': os.kill(os.getpid(), signal.SIGINT)\n"
    hook += "sys.meta_path.insert(0, Finder())\n"
    (project.root / "first/sitecustomize.py").write_text(hook)
    path = os.pathsep.join([str(project.root / "first"), project.variables["PYTHONPATH"]])
    outcome = project.command("+experiment=toy", PYTHONPATH=path)
    assert outcome.code == -signal.SIGINT and outcome.text == ""


def test_a_long_message_is_cut(project: Project) -> None:
    project.write("toy", experiment({"x": data_job("Value", error="e" * 100_000)}))
    outcome = project.main("toy")
    assert outcome.code == 1 and "x" in outcome.err
    assert len(outcome.text) < 4096
    failure = next((project.root / "outputs/store/x").glob("*/attempts/1/failure.json"))
    assert len(json.loads(failure.read_text())["error"]) > 100_000


def test_a_damaged_pool_is_named_by_the_failed_run(project: Project) -> None:
    (project.root / "pool.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 99)[:-9])
    evaluator = {"_target_": "sandbox.evaluators.text_diversity.TextDiversityEvaluator"}
    node = {"evaluator": evaluator, "eval_obj": "pool.jsonl.gz", "eval_type": None}
    project.write("toy", experiment({"x": ("evaluate_data", node)}))
    outcome = project.main("toy")
    assert outcome.code == 1 and "pool.jsonl.gz: cannot be unpacked" in outcome.err
