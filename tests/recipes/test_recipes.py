"""Recipes: groups, Data-Juicer's own files, single thresholds, and checks before a run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract import problems_of
from toy_project import Project

from sandbox.components.problem import Problem
from sandbox.hooks.refine_recipe_via_k_sigma import RefineRecipeViaKSigmaHook
from sandbox.hooks.refine_recipe_via_percentiles import RefineRecipeViaPercentilesHook
from sandbox.recipes import as_file, load_recipe
from sandbox.recipes.operators import (
    analyzer_reasons,
    argument_problems,
    arguments_of,
    operators,
    unknown_operators,
)

SPEC = importlib.util.find_spec("data_juicer")
PACKAGE = Path(SPEC.origin).parent if SPEC and SPEC.origin else Path("none")
SHIPPED = [
    "config/config_min.yaml",
    "config/config_all.yaml",
    "config/recipe_llm_semantic.yaml",
    "tools/hpo/configs/process.yaml",
]
OWN = """
project_name: 'as Data-Juicer writes it'   # with comments
dataset_path: /nowhere.jsonl
np: 4
op_fusion: false
process:
  - text_length_filter:
      min_len: 10
      max_len: null
  - clean_email_mapper:
  - text_length_filter: {max_len: 500}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A recipe file in Data-Juicer's own form."""
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


def test_data_juicers_own_files_are_read_as_they_are(own: Path) -> None:
    recipe = load_recipe(None, own)
    assert recipe["process"] == {
        "text_length_filter": {"min_len": 10, "max_len": None},
        "clean_email_mapper": {},
        "text_length_filter__2": {"max_len": 500},
    }
    assert (recipe["np"], recipe["op_fusion"]) == (4, False)
    assert yaml.safe_load(as_file(recipe))["process"] == [
        {"text_length_filter": {"min_len": 10, "max_len": None}},
        {"clean_email_mapper": {}},
        {"text_length_filter": {"max_len": 500}},
    ]


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs Data-Juicer")
@pytest.mark.parametrize("name", SHIPPED)
def test_the_files_that_data_juicer_ships_are_read(name: str) -> None:
    given = yaml.safe_load((PACKAGE / name).read_text())
    if "process" not in given:
        with pytest.raises(ValueError, match=r"^process: expected"):
            load_recipe(None, PACKAGE / name)
        return
    written = yaml.safe_load(as_file(load_recipe(None, PACKAGE / name)))
    assert written == {
        **given,
        "process": [{k: v or {} for k, v in item.items()} for item in given["process"]],
    }


def test_a_recipe_over_a_file_changes_single_arguments(own: Path) -> None:
    over = {
        "np": 1,
        "process": {"text_length_filter__2": {"max_len": 9}, "words_num_filter": {"min_num": 2}},
    }
    recipe = load_recipe(over, own)
    assert recipe["np"] == 1
    assert recipe["process"]["text_length_filter"] == {"min_len": 10, "max_len": None}
    assert recipe["process"]["text_length_filter__2"] == {"max_len": 9}
    assert list(recipe["process"])[-1] == "words_num_filter"
    with pytest.raises(ValueError, match=r"^process: on top of a recipe_path, expected a mapping"):
        load_recipe({"process": [{"words_num_filter": {}}]}, own)


@pytest.fixture
def hook(tmp_path: Path) -> Callable[..., list[Problem]]:
    """Problems of a hook that takes a recipe, with these arguments."""
    data = tmp_path / "in.jsonl"
    data.write_text('{"text": "a"}\n')

    def problems(**arguments: Any) -> list[Problem]:
        return problems_of(RefineRecipeViaPercentilesHook, dataset_path=data, **arguments)

    return problems


Hook = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", r"bad\.yaml: expected a recipe, a YAML mapping"),
        ("process: [", r"bad\.yaml: not YAML: .*line 1"),
        ("np: 3\n", r"bad\.yaml: process: expected .*keys of the recipe: np"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_named(
    tmp_path: Path, hook: Hook, text: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    (problem,) = hook(recipe_path=path)
    assert problem.kind == "rule"
    assert re.search(f"^recipe_path: .*{message}", problem.text)


def test_a_recipe_must_be_given(hook: Hook) -> None:
    (problem,) = hook()
    assert (problem.kind, problem.text) == ("rule", "recipe: choose one, or give recipe_path")


@pytest.mark.parametrize("process", ["x", 7, [], [{"a": {}, "b": {}}], {}, {"a": [1]}])
def test_a_process_of_another_form_is_one_problem(hook: Hook, process: Any) -> None:
    (problem,) = hook(recipe={"process": process})
    assert problem.kind == "rule"
    assert "process" in problem.text


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs Data-Juicer")
@pytest.mark.parametrize(
    ("recipe", "where", "message"),
    [
        (
            {"process": {"text_lenght_filter": {}}},
            "",
            r"recipe: process\.text_lenght_filter: .*mean text_length_filter\?",
        ),
        (
            {"process": {"words_num_filter__2": {"min_nums": 1}}},
            "recipe",
            r"process\.words_num_filter__2\.min_nums: .*mean min_num\?",
        ),
        (
            {"process": [{"words_num_filter": {"min_nums": 1}}]},
            "",
            r"recipe: process\.words_num_filter\.min_nums: .*mean min_num\?",
        ),
        (
            {"process": {"words_num_filter": {"min_num": "abc"}}},
            "recipe",
            r"min_num: expected int, got 'abc'",
        ),
        (
            {"process": {"words_num_filter": {"xyz": 1}}},
            "recipe",
            "available: lang, max_num, min_num, tokenization",
        ),
        (
            {"process": {"words_num_filter": {}}, "executor_type": "dask"},
            "recipe",
            r"executor_type: expected default or ray, got 'dask'",
        ),
    ],
)
def test_an_unknown_operator_or_argument_is_found_without_data_juicer(
    hook: Hook, recipe: Any, where: str, message: str
) -> None:
    (problem,) = hook(recipe=recipe)
    assert (problem.where, problem.kind) == (where, "rule")
    assert re.search(message, problem.text)
    assert "data_juicer" not in sys.modules


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs Data-Juicer")
def test_an_unknown_operator_or_argument_in_a_file_is_found(tmp_path: Path, hook: Hook) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("process: [{words_num_filter: {min_nums: 1}}, {text_lenght_filter: {}}]")
    (problem,) = hook(recipe_path=path)
    assert problem.text.startswith(f"recipe_path: {path}: process.words_num_filter.min_nums: ")
    assert "process.text_lenght_filter: Data-Juicer has no such operator" in problem.text


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs Data-Juicer")
def test_arguments_of_every_operator_are_known_and_operators_of_ones_own_are_not_refused(
    tmp_path: Path, hook: Hook
) -> None:
    arguments = {"text_key": "x", "num_proc": 2, "reversed_range": True}
    assert not hook(recipe={"process": {"words_num_filter": arguments}})
    mine = {"custom_operator_paths": ["mine.py"], "process": {"my_filter": {"x": 1}}}
    assert not hook(recipe=mine)
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(mine))
    assert not hook(recipe_path=path, recipe={"process": {"my_filter": {"x": 2}}})


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else find(name)
    )
    (problem,) = hook(recipe={"executor_type": "ray", "process": {"words_num_filter": {}}})
    assert problem.kind == "rule"
    assert "ray is not installed; pip install 'sandbox[ray]'" in problem.text


LATER = "${output:refine.recipe_path}"
"""A recipe file that an earlier job makes."""


def test_overrides_on_a_file_that_an_earlier_job_makes_are_checked(hook: Hook) -> None:
    (problem,) = hook(recipe={"executor_type": "rey"}, recipe_path=LATER)
    assert (problem.where, problem.kind) == ("recipe", "rule")
    assert not hook(recipe={"executor_type": "default", "np": 2}, recipe_path=LATER)


@pytest.mark.parametrize(
    ("cls", "argument", "source"),
    [
        (RefineRecipeViaKSigmaHook, {"k_by_operator": {"word_num_filter": 4}}, {"statistics": {}}),
        (
            RefineRecipeViaPercentilesHook,
            {"percentiles_by_operator": {"word_num_filter": [1, 99]}},
            {"dataset_path": "${output:probe.dataset_path}"},
        ),
    ],
)
def test_an_operator_that_the_recipe_has_not_is_found_before_a_run(
    cls: type, argument: Any, source: Any
) -> None:
    recipe: Any = {"process": {"words_num_filter": {}}}
    (problem,) = problems_of(cls, recipe=recipe, **source, **argument)
    assert problem.text == (
        f"{next(iter(argument))}: the recipe has no word_num_filter; "
        "its operators: words_num_filter"
    )
    assert not problems_of(cls, recipe_path=LATER, **source, **argument)


@pytest.mark.slow
@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs Data-Juicer")
def test_operators_read_from_the_sources_equal_those_of_data_juicer() -> None:
    """Names of all operators and arguments; none of arguments if the sources are not enough."""
    script = """
import juicer_session, json; juicer_session.import_data_juicer()
from data_juicer.core.preflight import _get_valid_params
from data_juicer.ops import OPERATORS
known = {name: sorted(_get_valid_params(each)) for name, each in OPERATORS.modules.items()}
print(json.dumps(known))
"""
    workers = Path(__file__).parents[2] / "sandbox" / "workers"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(workers)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    known = json.loads(done.stdout.splitlines()[-1])
    assert set(known) <= set(operators())
    assert all(set(known[name]) <= set(arguments_of(name)) for name in known if arguments_of(name))
    assert sum(bool(arguments_of(name)) for name in known) > 0.8 * len(known)
    started = time.process_time()
    recipe = load_recipe(None, PACKAGE / "tools/hpo/configs/process.yaml")
    assert unknown_operators(recipe) == argument_problems(recipe["process"]) == []
    assert time.process_time() - started < 1


EXPERIMENT = """
defaults:
  - /hook@jobs.process: process_data
  - /executor@jobs.process.executor: data_juicer_executor
  - /recipe@jobs.process.recipe: text_quality_filters
  - _self_
experiment_name: own
pipelines:
  main:
    execution_jobs: [process]
jobs:
  process:
    dataset_path: in.jsonl
"""


def test_a_threshold_has_a_short_path_and_a_wrong_one_ends_in_the_plan(project: Project) -> None:
    (project.root / "in.jsonl").write_text('{"text": "a"}\n')
    project.write("own", EXPERIMENT)
    length = "jobs.process.recipe.process.text_length_filter"
    process = project.compose("own", f"{length}.min_len=12").jobs.process.recipe.process
    assert process.text_length_filter == {"min_len": 12, "max_len": 1000000}
    chosen = project.compose(
        "own", "recipe@jobs.process.recipe=caption_statistics"
    ).jobs.process.recipe
    assert "image_shape_filter" in chosen.process
    (problem,) = project.problems("own", f"+{length}.min_length=12")
    assert (problem.where, problem.kind) == ("jobs.process.recipe", "rule")
    assert problem.text.startswith("process.text_length_filter.min_length: ")
    assert "did you mean min_len?" in problem.text


def test_the_demo_takes_another_probe_or_recipe_by_one_override(project: Project) -> None:
    slow = project.compose("demo", "probe=analyzer", "recipe=caption_statistics")
    for job in ("probe", "probe_again"):
        assert slow.jobs[job].analyzer["_target_"].endswith("DataJuicerAnalyzer")
        assert "image_shape_filter" in slow.jobs[job].recipe.process
    over = project.compose("demo", "+jobs.process.recipe.process.text_length_filter.min_len=10")
    assert over.jobs.process.recipe == {"process": {"text_length_filter": {"min_len": 10}}}
    (problem,) = project.problems(
        "demo", "+jobs.process.recipe.process.text_length_filter.min_length=10"
    )
    assert (problem.where, problem.kind) == ("jobs.process.recipe", "rule")
    assert problem.text.startswith("process.text_length_filter.min_length: ")


@pytest.mark.parametrize(
    ("operators", "reasons"),
    [
        (["text_length_filter", "clean_email_mapper", "words_num_filter__2"], []),
        (["text_length_filter", "image_tagging_mapper"], ["image_tagging_mapper tags samples"]),
        (
            ["video_tagging_from_frames_filter", "somebodys_filter"],
            [
                "video_tagging_from_frames_filter tags samples",
                "somebodys_filter is none of Data-Juicer's own operators",
            ],
        ),
    ],
    ids=["none", "tags", "two"],
)
def test_operators_that_need_the_analyzer_are_found_in_the_sources(
    operators: list[str], reasons: list[str]
) -> None:
    pytest.importorskip("data_juicer")
    assert analyzer_reasons({"process": {name: {} for name in operators}}) == reasons


@pytest.mark.parametrize("path", ["recipe", "file"])
def test_the_plan_names_operators_that_need_the_analyzer(
    project: Project, tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("data_juicer")
    given = ["+jobs.probe.recipe.process.image_tagging_mapper={}"]
    if path == "file":
        (tmp_path / "own.yaml").write_text("process: [image_tagging_mapper: {}]")
        given = [f"jobs.probe.recipe_path={tmp_path / 'own.yaml'}"]
    project.run("demo", "dry_run=true", *given)
    assert "by the Analyzer: image_tagging_mapper tags samples" in capsys.readouterr().out
    project.run("demo", "dry_run=true", "probe=analyzer", *given)
    assert "by the Analyzer" not in capsys.readouterr().out
