"""The plan: every problem at once, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_project import CHAIN, Project, data_job, experiment, merge, values

from sandbox.job import JobFailed

SPARE = {
    "defaults": [
        {"/hook@jobs.data": "general_data_executor"},
        {"/hook@jobs.train": "train_model"},
        {"/hook@jobs.score": "evaluate_model"},
        {"/hook@jobs.spare": "general_data_executor"},
        "_self_",
    ],
    "pipelines": {"spare": {"execution_jobs": ["spare"]}},
}
"""Additions to ``chain`` that give it one more job, ``spare``."""

CHAIN_PROBLEMS: dict[str, tuple[Any, str, str]] = {
    "unknown argument of a component": (
        ["+jobs.train.executor.learning_rat=1"],
        "unknown_argument",
        "jobs.train.executor.learning_rat",
    ),
    "unknown argument of a hook": (
        ["+jobs.data.nonsense=1"],
        "unknown_argument",
        "jobs.data.nonsense",
    ),
    "number where text is given": (
        ["jobs.data.executor.num_rows=many"],
        "wrong_type",
        "jobs.data.executor.num_rows",
    ),
    "bool is no number": (
        ["jobs.data.executor.num_rows=true"],
        "wrong_type",
        "jobs.data.executor.num_rows",
    ),
    "missing value": (
        ["jobs.train.executor.dataset_path=???"],
        "missing_argument",
        "jobs.train.executor.dataset_path",
    ),
    "missing component": (["jobs.data.executor=???"], "missing_argument", "jobs.data.executor"),
    "missing input file": (
        ["jobs.train.executor.dataset_path=nowhere.jsonl"],
        "missing_path",
        "jobs.train.executor.dataset_path",
    ),
    "reference to a later job": (
        ["jobs.train.executor.dataset_path='${output:score.details_path}'"],
        "reference",
        "jobs.train.executor.dataset_path",
    ),
    "reference to an output that nobody makes": (
        ["jobs.score.eval_obj='${output:train.checkpoints}'"],
        "reference",
        "jobs.score.eval_obj",
    ),
    "reference to no job": (
        ["jobs.score.eval_obj='${output:trian.checkpoint_path}'"],
        "reference",
        "jobs.score.eval_obj",
    ),
    "reference without a key": (
        ["jobs.score.eval_obj='${output:train}'"],
        "reference",
        "jobs.score.eval_obj",
    ),
    "reference inside a text": (
        ["jobs.train.executor.model='from ${output:data.nothing}'"],
        "reference",
        "jobs.train.executor.model",
    ),
    "previous of no job": (
        ["+jobs.train.executor.start_path='${previous:trian.checkpoint_path,null}'"],
        "reference",
        "jobs.train.executor.start_path",
    ),
    "unknown job in a list": (
        ["pipelines.main.evaluation_jobs=[scores]"],
        "job",
        "pipelines.main.evaluation_jobs",
    ),
    "unknown job list": (
        ["+pipelines.main.training_jobs=[train]"],
        "job_list",
        "pipelines.main.training_jobs",
    ),
    "job list that is no list": (
        ["pipelines.main.evaluation_jobs=score"],
        "job_list",
        "pipelines.main.evaluation_jobs",
    ),
    "pipeline that is no mapping": (
        {"pipelines": {"main": ["data"]}},
        "job_list",
        "pipelines.main",
    ),
    "key like one of the frame": (["+max_iteration=2"], "setting", "max_iteration"),
    "another key like one of the frame": (["+target=['score.loss < 1']"], "setting", "target"),
    "unknown kind of reference": (
        ["jobs.train.executor.dataset_path='${outputs:data.path}'"],
        "interpolation",
        "jobs.train.executor.dataset_path",
    ),
    "job listed twice": (
        ["pipelines.main.execution_jobs=[data,train,data]"],
        "job_list",
        "pipelines.main.execution_jobs",
    ),
    "job listed in two pipelines": (
        ["+pipelines.again.execution_jobs=[data]"],
        "job_list",
        "pipelines.again.execution_jobs",
    ),
    "job that is no mapping": (["jobs.data=3"], "job", "jobs.data"),
    "job without a hook": (["~jobs.data._target_"], "job", "jobs.data"),
    "interpolation of nothing": (
        ["jobs.train.executor.model='${nets.small}'"],
        "interpolation",
        "jobs.train.executor.model",
    ),
    "target not allowed": (
        ["jobs.data.executor._target_=colorsys.Anything"],
        "target",
        "jobs.data.executor",
    ),
    "target through an allowed module": (
        ["jobs.data.executor._target_=sandbox.executors.data_juicer.process.subprocess.run"],
        "target",
        "jobs.data.executor",
    ),
    "target that an allowed module imports": (
        ["jobs.data.executor._target_=sandbox.executors.Path"],
        "target",
        "jobs.data.executor",
    ),
    "target of the frame itself": (
        ["jobs.data.executor._target_=sandbox.store.records.JobStore"],
        "target",
        "jobs.data.executor",
    ),
    "target without a class": (
        ["jobs.data.executor._target_=toys.Rowz"],
        "target",
        "jobs.data.executor",
    ),
    "target without a module": (
        ["jobs.data.executor._target_=toys"],
        "target",
        "jobs.data.executor",
    ),
    "target that is no text": (["jobs.data.executor._target_=3"], "target", "jobs.data.executor"),
    "target module that is not there": (
        ["jobs.data.executor._target_=sandbox.executors.nothing_here.Thing"],
        "target",
        "jobs.data.executor",
    ),
    "constructor's own check": (
        ["jobs.data.executor.num_rows=0"],
        "constraint",
        "jobs.data.executor.num_rows",
    ),
    "missing file that is judged": (
        ["jobs.score.eval_obj=nowhere"],
        "missing_path",
        "jobs.score.eval_obj",
    ),
    "missing file in a list that is judged": (
        ["jobs.score.eval_obj=[nowhere]"],
        "missing_path",
        "jobs.score.eval_obj.0",
    ),
    "missing file among those that are judged one by one": (
        ["+jobs.score.map.eval_obj=[nowhere]"],
        "missing_path",
        "jobs.score.map.eval_obj.0",
    ),
    "online without a key": (["watcher.mode=online"], "machine", "watcher"),
    "check of arguments together": (
        {"jobs": {"spare": {"executor": {"_target_": "toys.Checked", "low": 2}}}, **SPARE},
        "machine",
        "jobs.spare.executor",
    ),
    "literal secret": (
        {"jobs": {"spare": {"executor": {"_target_": "toys.Login", "token": "abc"}}}, **SPARE},
        "secret",
        "jobs.spare.executor.token",
    ),
    "secret variable that is not set": (
        {
            "jobs": {
                "spare": {"executor": {"_target_": "toys.Login", "token": "${oc.env:TOYS_NO}"}}
            },
            **SPARE,
        },
        "variable",
        "jobs.spare.executor.token",
    ),
    "objective of no grammar": (["objective='__import__(\"os\").getcwd()'"], "scalar", "objective"),
    "objective with an unknown aggregate": (
        {"objective": "median(score.accuracy)"},
        "scalar",
        "objective",
    ),
    "objective of no output": (["objective=score.f1"], "reference", "objective"),
    "second objective wrong": (["objective=[score.accuracy, score.f1]"], "reference", "objective"),
    "target without a number": (["targets=['score.accuracy >= high']"], "scalar", "targets"),
    "target without a comparison": (["targets=['score.accuracy']"], "scalar", "targets"),
    "target with a wrong comparison": (["targets=['score.accuracy =< 2']"], "scalar", "targets"),
    "target with an equality": (["targets=['score.accuracy == 2']"], "scalar", "targets"),
    "objective that is a list": (["+jobs.score.map.eval_type=[a, b]"], "scalar", "objective"),
    "objective inside a list": (
        ["+jobs.score.map.eval_type=[a, b]", "objective=score.per_group.easy.accuracy"],
        "scalar",
        "objective",
    ),
    "target that is a list": (
        ["+jobs.score.map.eval_type=[a, b]", "objective=null", "targets=['score.loss < 1']"],
        "scalar",
        "targets",
    ),
    "seeds of a mapped seed": (
        ["+jobs.train.seeds=2", "+jobs.train.map.executor.seed=[5, 6]"],
        "seeds",
        "jobs.train.map.executor.seed",
    ),
    "target of no output": (["targets=['score.f1 > 0.5']"], "reference", "targets"),
    "targets of an unknown kind": (
        {"targets": {"most": ["score.accuracy > 1"]}},
        "scalar",
        "targets",
    ),
    "iterations without a memory": (["max_iterations=3"], "setting", "max_iterations"),
    "no iterations": (["max_iterations=0"], "constraint", "max_iterations"),
    "iterations that are no number": (["max_iterations=many"], "wrong_type", "max_iterations"),
    "forcing no job": (["force=[trian]"], "job", "force"),
    "cap that is no number": (["+cap.numbers.num_rows=few"], "wrong_type", "cap.numbers.num_rows"),
    "cap of a list that is no number": (
        ["+cap.lists.num_rows=few"],
        "wrong_type",
        "cap.lists.num_rows",
    ),
    "cap of an unknown kind": (["+cap.nombers.num_rows=2"], "setting", "cap"),
    "wrong compute": (["+compute.num_workers=2"], "unknown_argument", "compute.num_workers"),
    "wrong value of a job's compute": (
        ["+jobs.train.compute={_target_: sandbox.compute.local.Local, num_workers: 0}"],
        "constraint",
        "jobs.train.compute.num_workers",
    ),
    "compute of a job that is no component": (
        ["+jobs.train.compute=local"],
        "component",
        "jobs.train.compute",
    ),
    "compute of another family": (
        ["compute._target_=sandbox.watchers.SandboxWatcher"],
        "component",
        "compute",
    ),
    "a job's compute of another family": (
        ["+jobs.train.compute={_target_: toys.Rows}"],
        "component",
        "jobs.train.compute",
    ),
    "watcher of another family": (["watcher={_target_: toys.Rows}"], "component", "watcher"),
    "no compute": (["~compute"], "component", "compute"),
    "interpolation of nothing in the watcher": (
        ["watcher.group='${groups.mine}'"],
        "interpolation",
        "watcher.group",
    ),
    "wrong value of the watcher": (["watcher.timeout_s=0"], "constraint", "watcher.timeout_s"),
    "wrong value of the compute": (
        ["compute=local", "compute.num_workers=0"],
        "constraint",
        "compute.num_workers",
    ),
    "wrong compute of a job": (
        ["+jobs.train.compute={_target_: sandbox.compute.local.Local, workers: 2}"],
        "unknown_argument",
        "jobs.train.compute.workers",
    ),
    "wrong watcher": (["watcher.mode=sometimes"], "wrong_type", "watcher.mode"),
    "literal key of the watcher": (["watcher.api_key=abc"], "secret", "watcher.api_key"),
    "map of no structure": (["+jobs.train.map=3"], "map", "jobs.train.map"),
    "map over no list": (
        ["+jobs.train.map.executor.learning_rate=0.1"],
        "map",
        "jobs.train.map.executor.learning_rate",
    ),
    "map over an empty list": (
        ["+jobs.train.map.executor.learning_rate=[]"],
        "map",
        "jobs.train.map.executor.learning_rate",
    ),
    "map over a plain text": (
        ["+jobs.train.map.executor.model=both"],
        "map",
        "jobs.train.map.executor.model",
    ),
    "map over an unknown argument": (
        ["+jobs.train.map.executor.learning_rates=[1,2]"],
        "unknown_argument",
        "jobs.train.map.executor.learning_rates",
    ),
    "map over an unknown part": (
        ["+jobs.train.map.exekutor.learning_rate=[1,2]"],
        "map",
        "jobs.train.map.exekutor.learning_rate",
    ),
    "map with a wrong element": (
        ["+jobs.train.map.executor.num_steps=[1,two]"],
        "wrong_type",
        "jobs.train.map.executor.num_steps.1",
    ),
    "map with unequal lists": (
        ["+jobs.train.map.executor={learning_rate: [0.1, 0.2], num_steps: [1, 2, 3]}"],
        "map",
        "jobs.train.map",
    ),
    "map with a wrong product": (
        ["+jobs.train.map={product: perhaps, executor: {num_steps: [1]}}"],
        "map",
        "jobs.train.map.product",
    ),
    "map over a missing file": (
        ["+jobs.train.map.executor.dataset_path=[nowhere.jsonl]"],
        "missing_path",
        "jobs.train.map.executor.dataset_path.0",
    ),
    "mapped component with an unknown argument": (
        ["+jobs.score.map.evaluator=[{_target_: toys.Score, ofset: 1}]"],
        "unknown_argument",
        "jobs.score.map.evaluator.0.ofset",
    ),
    "mapped component that is not allowed": (
        ["+jobs.score.map.evaluator=[{_target_: toys.Score}, {_target_: os.system}]"],
        "target",
        "jobs.score.map.evaluator.1",
    ),
    "seeds without a seed": (["+jobs.data.seeds=3"], "seeds", "jobs.data.seeds"),
    "seeds that are none": (["+jobs.train.seeds=0"], "seeds", "jobs.train.seeds"),
    "seeds that are texts": (["+jobs.train.seeds=[a,b]"], "seeds", "jobs.train.seeds"),
}
"""Mistakes in ``chain``: overrides or changes of its file, kind and place of the problem."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wandb finds no key of the machine that tests run on."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "no_netrc")
    monkeypatch.setenv("WANDB_CONFIG_DIR", "no_config")


@pytest.mark.parametrize(
    ("given", "kind", "where"), CHAIN_PROBLEMS.values(), ids=CHAIN_PROBLEMS.keys()
)
def test_a_mistake_is_found_before_anything_runs(
    chain: Project, given: list[str] | dict[str, Any], kind: str, where: str
) -> None:
    if isinstance(given, dict):
        chain.write("chain", merge(yaml.safe_load(CHAIN), given))
    problems = chain.problems("chain", *(given if isinstance(given, list) else []))
    assert (kind, where) in [(problem.kind, problem.where) for problem in problems], problems


def test_one_mistake_is_reported_once(chain: Project) -> None:
    assert len(chain.problems("chain", "jobs.data.executor.num_rows=many")) == 1
    assert len(chain.problems("chain", "jobs.train.executor.dataset_path=nowhere.jsonl")) == 1
    assert (
        len(chain.problems("chain", "jobs.data.executor._target_=toys.Rowz", "force=[data]")) == 1
    )
    assert len(chain.problems("chain", "jobs.score.evaluator._target_=toys.Scorer")) == 1


def test_every_mistake_is_reported_at_once(chain: Project) -> None:
    problems = chain.problems(
        "chain",
        "jobs.data.executor.num_rows=many",
        "+jobs.train.executor.learning_rat=1",
        "jobs.train.executor.dataset_path=nowhere.jsonl",
        "jobs.score.eval_obj='${output:train.checkpoints}'",
        "jobs.score.evaluator._target_=os.system",
        "objective=score.f1",
        "targets=['score.f2 > high']",
        "force=[trian]",
        "max_iterations=2",
        "watcher.mode=sometimes",
        "compute=local",
        "compute.num_workers=many",
    )
    assert {(problem.kind, problem.where) for problem in problems} == {
        ("wrong_type", "jobs.data.executor.num_rows"),
        ("unknown_argument", "jobs.train.executor.learning_rat"),
        ("missing_path", "jobs.train.executor.dataset_path"),
        ("reference", "jobs.score.eval_obj"),
        ("target", "jobs.score.evaluator"),
        ("scalar", "targets"),
        ("job", "force"),
        ("setting", "max_iterations"),
        ("wrong_type", "watcher.mode"),
        ("wrong_type", "compute.num_workers"),
    }


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "+jobs.train.executor.learning_rat=1",
            "jobs.train.executor.learning_rat: Training takes no argument 'learning_rat'; did you "
            "mean learning_rate? available: dataset_path, learning_rate, num_steps, model, seed, "
            "start_path, gate, die_at, exit_status",
        ),
        (
            "jobs.train.executor.dataset_path=???",
            "jobs.train.executor.dataset_path: must be given (Path)",
        ),
        (
            "jobs.data.executor.num_rows=many",
            "jobs.data.executor.num_rows: given 'many', expected int at least 1",
        ),
        (
            "jobs.data.executor.num_rows=0",
            "jobs.data.executor.num_rows: given 0, expected at least 1",
        ),
        (
            "jobs.score.eval_obj='${output:train.checkpoints}'",
            "jobs.score.eval_obj: ${output:train.checkpoints} is produced by no earlier job; did "
            "you mean train.checkpoint_path? available: train.checkpoint_path",
        ),
        (
            "watcher.api_key=abc",
            "watcher.api_key: a secret may only be given as ${oc.env:NAME}, never as a literal",
        ),
        (
            "compute={_target_: toys.Rows}",
            "compute: given toys.Rows, expected BaseCompute",
        ),
        (
            "jobs.data.executor._target_=toys",
            "jobs.data.executor: class path 'toys' is not module.Class",
        ),
        (
            "pipelines.main.evaluation_jobs=[scores]",
            "pipelines.main.evaluation_jobs: there is no job 'scores'; did you mean score? "
            "available: data, train, score",
        ),
        (
            "+pipelines.main.training_jobs=[train]",
            "pipelines.main.training_jobs: is no job list; available: probe_jobs, "
            "refine_recipe_jobs, execution_jobs, evaluation_jobs",
        ),
        (
            "+jobs.train.map.executor.learning_rate=0.1",
            "jobs.train.map.executor.learning_rate: expected a list, or a reference to one, "
            "given 0.1",
        ),
        (
            "+jobs.train.seeds=0",
            "jobs.train.seeds: expected a positive number or a list of different integers, given 0",
        ),
        (
            "max_iterations=3",
            "max_iterations: given 3, but no job reads ${previous:…}; every iteration would be "
            "the first again",
        ),
        (
            "targets=['score.accuracy =< 2']",
            "targets: 'score.accuracy =< 2': =< is no comparison; comparisons: >= <= > <",
        ),
        (
            "jobs.train.executor.model='${nets.small}'",
            "jobs.train.executor.model: Interpolation key 'nets.small' not found",
        ),
    ],
    ids=str,
)
def test_a_message_names_place_value_expectation_and_what_is_available(
    chain: Project, override: str, text: str
) -> None:
    assert text in [str(problem) for problem in chain.problems("chain", override)]


def test_a_missing_file_is_named_with_the_working_directory(chain: Project) -> None:
    (problem,) = chain.problems("chain", "jobs.train.executor.dataset_path=nowhere.jsonl")
    assert problem.text == "nowhere.jsonl does not exist"
    assert problem.hint == f"working directory: {chain.root}"


@pytest.mark.parametrize("place", ["jobs.data.executor", "compute", "watcher"])
def test_a_target_that_is_not_allowed_is_not_imported(chain: Project, place: str) -> None:
    Path("harm.py").write_text("raise SystemExit('harm was done')")
    sys.path.insert(0, str(chain.root))
    try:
        problems = chain.problems("chain", f"{place}._target_=harm.Anything")
    finally:
        sys.path.remove(str(chain.root))
    (problem,) = problems
    assert (problem.kind, problem.where) == ("target", place)
    assert "harm" not in sys.modules


@pytest.mark.parametrize("hidden", ["harm.Anything", "subprocess.Popen"])
def test_a_target_hidden_inside_an_argument_is_refused(project: Project, hidden: str) -> None:
    project.write(
        "deep", values("one", one={"executor": {"value": [{"a": [{"_target_": hidden}]}]}})
    )
    (problem,) = project.problems("deep")
    assert (problem.kind, problem.where) == ("target", "jobs.one.executor.value.0.a.0")


@pytest.mark.parametrize(
    "control", ["_args_: [1]", "_partial_: true", "_convert_: none", "_recursive_: false"]
)
def test_instantiate_controls_do_not_get_round_the_checks(chain: Project, control: str) -> None:
    """The plan refuses a value that it cannot check; a value that it accepts works."""
    name, _, value = control.partition(": ")
    (problem,) = chain.problems("chain", f"+jobs.data.executor.{name}={value}")
    assert (problem.kind, problem.where) == ("unknown_argument", f"jobs.data.executor.{name}")


def test_a_job_in_no_list_is_not_checked_but_mentioned(
    chain: Project, caplog: pytest.LogCaptureFixture
) -> None:
    assert chain.run("chain", "+jobs.spare={_target_: os.system}") == pytest.approx(0.4)
    assert "in no job list, will not run: jobs.spare" in caplog.text


def test_a_hook_in_an_unusual_list_is_warned_of_and_runs(
    chain: Project, caplog: pytest.LogCaptureFixture
) -> None:
    chain.run("chain", "+pipelines.main.probe_jobs=[data]", "pipelines.main.execution_jobs=[train]")
    assert "data is in probe_jobs; its hook is usually in execution_jobs" in caplog.text
    assert len(chain.ran()) == 3


def test_an_experiment_without_pipelines_is_refused(project: Project) -> None:
    project.write("nothing", {"experiment_name": "nothing"})
    (problem,) = project.problems("nothing")
    assert (problem.kind, problem.where) == ("setting", "pipelines")


@pytest.mark.parametrize(
    ("node", "accepted"),
    [
        ({"options": {"a": 1}}, True),
        ({"options": [1]}, False),
        ({"more": []}, True),
        ({"more": "data.jsonl"}, False),
        ({"more": ["data.jsonl"]}, True),
        ({"more": [3]}, False),
    ],
    ids=str,
)
def test_values_must_fit_the_annotation(
    project: Project, node: dict[str, Any], accepted: bool
) -> None:
    Path("data.jsonl").write_text('{"text": "a"}\n')
    project.write(
        "read",
        {
            "defaults": [{"/hook@jobs.read": "evaluate_data"}, "_self_"],
            "experiment_name": "read",
            "pipelines": {"main": {"evaluation_jobs": ["read"]}},
            "jobs": {
                "read": {
                    "eval_obj": None,
                    "evaluator": {"_target_": "toys.Reader", "dataset_path": "data.jsonl", **node},
                }
            },
        },
    )
    if accepted:
        project.run("read")
        assert project.ran() == ["reader data.jsonl"]
    else:
        (name,) = node
        (problem,) = project.problems("read")
        assert problem.where.startswith(f"jobs.read.evaluator.{name}")


@pytest.mark.parametrize("place", ["variable", "argument", "netrc"])
def test_online_with_a_key_is_no_problem(
    chain: Project, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "netrc":
        Path("no_netrc").write_text("machine api.wandb.ai\n  login user\n  password x\n")
    else:
        monkeypatch.setenv("WANDB_API_KEY" if place == "variable" else "TOYS_KEY", "x" * 40)
    given = ["watcher.api_key='${oc.env:TOYS_KEY}'"] if place == "argument" else []
    assert chain.run("chain", "watcher.mode=online", "dry_run=true", *given) is None


def waiting(**arguments: Any) -> dict[str, Any]:
    """Two jobs, the second a ``toys.Limited`` that waits for the first's number."""
    limited = data_job("Limited", **{"rows": "${output:rows.num_rows}", **arguments})
    body: dict[str, Any] = experiment({"rows": data_job("Rows"), "limited": limited})
    return body


@pytest.mark.parametrize(
    ("arguments", "kind", "where"),
    [
        ({"steps": -5}, "constraint", "steps"),
        ({"steps": -5, "seed": "${output:rows.num_rows}"}, "constraint", "steps"),
        ({"steps": 5}, None, ""),
        ({"limit": 0}, None, ""),  # a rule reads rows too, which is not known yet
        ({"limit": 3, "rows": 4}, "rule", None),
        ({"shares": [0.5, 2.0]}, "constraint", "shares.1"),
    ],
    ids=str,
)
def test_known_arguments_are_checked_while_others_wait(
    project: Project, arguments: dict[str, Any], kind: str | None, where: str | None
) -> None:
    project.write("wait", waiting(**arguments))
    if kind is None:
        assert project.run("wait", "dry_run=true") is None
        return
    (problem,) = project.problems("wait")
    place = "jobs.limited.executor" if where is None else f"jobs.limited.executor.{where}"
    assert (problem.kind, problem.where) == (kind, place)


def test_a_value_that_an_earlier_job_made_is_checked_when_it_is_there(project: Project) -> None:
    project.write("wait", waiting(limit=3))
    with pytest.raises(JobFailed, match="limit is 3, there are more rows"):
        project.run("wait")
    assert project.ran() == ["rows row 4"], "the job that gets it was never started"


def test_two_mistakes_in_one_component_are_reported_at_once(project: Project) -> None:
    project.write("wait", waiting(steps=-5, shares="none", limit=0, rows="many"))
    assert sorted(problem.where for problem in project.problems("wait")) == [
        "jobs.limited.executor.rows",
        "jobs.limited.executor.shares",
        "jobs.limited.executor.steps",
    ]
    project.write("wait", waiting(steps=-5))
    problems = project.problems("wait", "+jobs.limited.executor.step=3")
    assert {problem.kind for problem in problems} == {"unknown_argument", "constraint"}


def test_every_mapped_value_is_checked(project: Project) -> None:
    mapped = {"steps": [1, -5, 2]}
    project.write("wait", merge(waiting(), {"jobs": {"limited": {"map": {"executor": mapped}}}}))
    (problem,) = project.problems("wait")
    assert problem.where == "jobs.limited.map.executor.steps.1"
    nodes = [
        {"_target_": "toys.Limited", "rows": rows, "steps": 0}
        for rows in (1, "${output:rows.num_rows}")
    ]
    project.write("wait", merge(waiting(), {"jobs": {"limited": {"map": {"executor": nodes}}}}))
    assert [problem.where for problem in project.problems("wait")] == [
        "jobs.limited.map.executor.0.steps",
        "jobs.limited.map.executor.1.steps",
    ]
    nodes = [{"_target_": "toys.Limited", "rows": 1}]
    replaced = merge(waiting(rows=1, steps=0), {"jobs": {"limited": {"map": {"executor": nodes}}}})
    project.write("wait", replaced)
    assert project.run("wait", "dry_run=true") is None, "what map replaces is never built"


def test_rules_are_evaluated_for_every_mapped_element(project: Project) -> None:
    mapped = {"rows": [1, 9], "limit": [1, 8]}
    body = waiting(rows=1)
    project.write("wait", merge(body, {"jobs": {"limited": {"map": {"executor": mapped}}}}))
    (problem,) = project.problems("wait")
    assert (problem.kind, problem.where) == ("rule", "jobs.limited.map.executor.1")


def test_a_component_inside_a_component_is_checked_with_it(project: Project) -> None:
    inner = {"_target_": "toys.Limited", "rows": 1}
    project.write("deep", values("one", one={"executor": {"value": inner, "error": None}}))
    assert project.run("deep", "dry_run=true") is None
    (problem,) = project.problems("deep", "+jobs.one.executor.value.steps=0")
    assert (problem.kind, problem.where) == ("constraint", "jobs.one.executor.value.steps")
