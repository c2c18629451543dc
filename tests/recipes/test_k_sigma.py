"""Thresholds at mean ± k standard deviations."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract import problems_of, scope

from sandbox.hooks.refine_recipe_via_k_sigma import RefineRecipeViaKSigmaHook
from sandbox.recipes import process_list, process_mapping
from sandbox.recipes.k_sigma import refine_by_k_sigma as refine
from sandbox.recipes.thresholds import THRESHOLDS

WORKERS = Path(__file__).parents[2] / "sandbox" / "workers"
RECIPES = sorted((Path(__file__).parents[2] / "conf" / "recipe").glob("*.yaml"))


def refined(
    operator: str, arguments: dict[str, Any], k: float = 3.0, **statistics: Any
) -> dict[str, Any]:
    stats = {name: {"mean": mean, "std": std} for name, (mean, std) in statistics.items()}
    arguments_out: dict[str, Any] = refine({"process": {operator: arguments}}, stats, k).recipe[
        "process"
    ][operator]
    return arguments_out


def test_both_sides_are_set_to_mean_and_k_sigma() -> None:
    out = refined("alphanumeric_filter", {"min_ratio": 0.0}, 2.0, alnum_ratio=(0.5, 0.1))
    assert out == {"min_ratio": pytest.approx(0.3), "max_ratio": pytest.approx(0.7)}


def test_whole_numbers_stay_whole_and_round_outward() -> None:
    out = refined("text_length_filter", {"min_len": 1, "max_len": 9}, 1.0, text_len=(20.5, 3.2))
    assert out == {"min_len": 17, "max_len": 24}
    assert all(isinstance(value, int) for value in out.values())


def test_values_are_clipped_to_the_legal_range() -> None:
    assert refined("special_characters_filter", {}, special_char_ratio=(0.2, 0.9)) == {
        "min_ratio": 0.0,
        "max_ratio": 1.0,
    }
    assert refined("words_num_filter", {}, num_words=(3, 5)) == {"min_num": 0, "max_num": 18}
    assert refined("image_shape_filter", {}, image_width=(4, 9))["min_width"] == 1


def test_a_statistic_that_never_varies_keeps_its_samples() -> None:
    mean = 0.1 + 0.2  # a mean off by rounding
    out = refined("alphanumeric_filter", {}, alnum_ratio=(mean, 0.0))
    assert out["min_ratio"] < 0.3 < 0.30000000000000004 < out["max_ratio"]
    assert refined("text_length_filter", {}, text_len=(10.0, 0.0)) == {"min_len": 10, "max_len": 10}


def test_shape_takes_each_side_from_its_own_statistic() -> None:
    out = refined(
        "image_shape_filter",
        {"any_or_all": "all"},
        1.0,
        image_width=(100, 10),
        image_height=(50, 5),
    )
    assert out == {
        "any_or_all": "all",
        "min_width": 90,
        "max_width": 110,
        "min_height": 45,
        "max_height": 55,
    }


def test_sizes_are_texts_in_bytes_and_video_ratios_fractions() -> None:
    assert refined("image_size_filter", {"min_size": "1KB"}, 1.0, image_sizes=(1000.5, 100)) == {
        "min_size": "900",
        "max_size": "1101",
    }
    out = refined("video_aspect_ratio_filter", {}, 1.0, video_aspect_ratios=(1.5, 0.25))
    assert float(out["min_ratio"]) == pytest.approx(1.25)
    assert float(out["max_ratio"]) == pytest.approx(1.75)


def test_only_the_sides_that_an_operator_has_are_set() -> None:
    assert refined("language_id_score_filter", {"lang": "en"}, 1.0, lang_score=(0.9, 0.05)) == {
        "lang": "en",
        "min_score": pytest.approx(0.85),
    }


def test_arguments_that_are_no_thresholds_are_not_touched() -> None:
    given = {
        "min_closed_interval": True,
        "max_closed_interval": False,
        "rep_len": 5,
        "min_ratio": 0.1,
    }
    out = refined("word_repetition_filter", given, word_rep_ratio=(0.2, 0.01))
    assert {key: out[key] for key in given if key != "min_ratio"} == {
        "min_closed_interval": True,
        "max_closed_interval": False,
        "rep_len": 5,
    }


def test_tokenised_letters_are_another_statistic() -> None:
    given = {"tokenization": True, "max_ratio": 9.0}
    assert refined("alphanumeric_filter", given, 1.0, alnum_ratio=(0.5, 0.1)) == given
    assert refined("alphanumeric_filter", given, 1.0, alpha_token_ratio=(4, 1))[
        "max_ratio"
    ] == pytest.approx(5)


@pytest.mark.parametrize(
    ("operator", "arguments", "statistics", "reason"),
    [
        ("text_length_filter", {"min_len": 3}, {}, "no statistic text_len"),
        (
            "text_length_filter",
            {"min_len": 3},
            {"text_len": {"mean": 1.0, "std": None}},
            "no standard deviation",
        ),
        (
            "text_length_filter",
            {"reversed_range": True},
            {"text_len": {"mean": 1.0, "std": 1.0}},
            "reversed_range",
        ),
        ("clean_email_mapper", {}, {"text_len": {"mean": 1.0, "std": 1.0}}, "no thresholds"),
        (
            "image_subplot_filter",
            {"min_confidence": 0.5},
            {"image_subplot_confidence": {"mean": 1, "std": 1}},
            "no th",
        ),
    ],
)
def test_operators_that_cannot_be_refined_are_reported(
    operator: str, arguments: dict[str, Any], statistics: Any, reason: str
) -> None:
    refinement = refine({"process": {operator: arguments}}, statistics)
    assert refinement.recipe == refinement.original == {"process": {operator: arguments}}
    assert reason in refinement.untouched[operator]
    assert f"# {operator} is untouched" in refinement.diff()


def test_the_given_recipe_is_never_edited() -> None:
    given: dict[str, Any] = {
        "np": 2,
        "process": {"text_length_filter": {"min_len": 1}, "words_num_filter": None},
    }
    before = copy.deepcopy(given)
    refinement = refine(
        given, {"text_len": {"mean": 9, "std": 1}, "num_words": {"mean": 9, "std": 1}}
    )
    assert given == before
    assert refinement.recipe["np"] == 2
    assert list(refinement.recipe["process"]) == list(before["process"])
    assert "-    min_len: 1\n" in refinement.diff()
    assert "+    min_len: 6\n" in refinement.diff()


def test_single_operators_may_have_another_k() -> None:
    recipe = {
        "process": {
            "text_length_filter": {},
            "text_length_filter__2": {},
            "words_num_filter": {"min_num": 2},
        }
    }
    statistics = {"text_len": {"mean": 100, "std": 10}, "num_words": {"mean": 9, "std": 1}}
    out = refine(
        recipe, statistics, 1, {"text_length_filter__2": 2, "words_num_filter": None}
    ).recipe["process"]
    assert out == {
        "text_length_filter": {"min_len": 90, "max_len": 110},
        "text_length_filter__2": {"min_len": 80, "max_len": 120},
        "words_num_filter": {"min_num": 2},
    }


@pytest.mark.parametrize("k", [0, -1, float("nan"), float("inf")])
def test_k_must_be_positive(k: float) -> None:
    recipe: Any = {"process": {"text_length_filter": {}}}
    for where, given in (
        ("k", {"k": k}),
        ("k_by_operator.text_length_filter", {"k_by_operator": {"text_length_filter": k}}),
    ):
        (problem,) = problems_of(RefineRecipeViaKSigmaHook, statistics={}, recipe=recipe, **given)
        assert problem.where == where
        assert problem.kind in ("constraint", "wrong_type")


def test_process_is_a_mapping_with_suffixes_or_a_list() -> None:
    as_list = [
        {"text_length_filter": {"min_len": 1}},
        {"clean_email_mapper": {}},
        {"text_length_filter": {}},
    ]
    mapping = process_mapping(process_list({"process": as_list}))
    assert list(mapping) == ["text_length_filter", "clean_email_mapper", "text_length_filter__2"]
    assert process_list({"process": mapping}) == as_list


@pytest.mark.parametrize(
    "process", [None, {}, [], "x", [{"a": {}, "b": {}}], [{"a": 3}], {"a": [1]}, 7]
)
def test_a_process_that_is_none_is_refused(process: Any) -> None:
    with pytest.raises(ValueError, match=r"^process"):
        process_list({"process": process})


def test_the_hook_writes_a_recipe_file_and_a_diff(tmp_path: Path) -> None:
    inside = scope(tmp_path)
    hook = RefineRecipeViaKSigmaHook(
        statistics={"text_len": {"mean": 100.0, "std": 10.0}},
        recipe={"process": {"text_length_filter": {"min_len": 1}, "text_length_filter__2": {}}},
        k=2,
    )
    out = hook.run(scope=inside)
    written = yaml.safe_load(out.recipe_path.read_text())
    assert written == {"process": [{"text_length_filter": {"min_len": 80, "max_len": 120}}] * 2}
    assert out.recipe["process"]["text_length_filter__2"] == {"min_len": 80, "max_len": 120}
    diff = out.diff_path.read_text()
    assert "+    max_len: 120" in diff
    assert "# text_length_filter.min_len: 1 → 80, tightened (100 - 2 × 10 of text_len)\n" in diff
    assert (
        "# text_length_filter__2.max_len: Data-Juicer's default → 120 (100 + 2 × 10 of text_len)\n"
        in diff
    )
    assert diff in inside.log_path.read_text()


@pytest.mark.parametrize(
    ("operator", "given", "statistic", "line"),
    [
        (
            "text_length_filter",
            {"min_len": 10, "max_len": 340},
            (100.0, 80.0),
            "text_length_filter.min_len: 10 → 0, loosened, clipped (100 - 3 × 80 of text_len)",
        ),
        (
            "text_length_filter",
            {"min_len": 70, "max_len": 200},
            (100.0, 10.0),
            "text_length_filter.max_len: 200 → 130, tightened (100 + 3 × 10 of text_len)",
        ),
        (
            "image_size_filter",
            {"min_size": "1kb", "max_size": "4000"},
            (3000.0, 333.0),
            "image_size_filter.min_size: 1kb → 2001, tightened (3000 - 3 × 333 of image_sizes)",
        ),
        (
            "video_aspect_ratio_filter",
            {"min_ratio": "9/21", "max_ratio": "2.000000001"},
            (1.25, 0.25),
            "video_aspect_ratio_filter.min_ratio: 9/21 → 0.499999999, tightened "
            "(1.25 - 3 × 0.25 of video_aspect_ratios)",
        ),
    ],
    ids=["clipped", "tightened", "bytes", "fraction"],
)
def test_a_changed_bound_is_marked(
    operator: str, given: dict[str, Any], statistic: tuple[float, float], line: str
) -> None:
    (threshold,) = THRESHOLDS[operator]
    mean, std = statistic
    statistics = {threshold.statistic: {"mean": mean, "std": std}}
    assert refine({"process": {operator: given}}, statistics).lines()[:1] == [line]


def test_the_hook_counts_the_marks(tmp_path: Path) -> None:
    hook = RefineRecipeViaKSigmaHook(
        statistics={"text_len": {"mean": 50.0, "std": 20.0}},
        recipe={"process": {"text_length_filter": {"min_len": 10}}},
    )
    out = hook.run(scope=scope(tmp_path))
    assert out.bounds == {
        "text_length_filter.min_len": {
            "before": 10,
            "after": 0,
            "marks": ["loosened", "clipped"],
        },
        "text_length_filter.max_len": {"before": None, "after": 110, "marks": []},
    }
    assert (out.num_tightened, out.num_loosened, out.num_clipped) == (0, 1, 1)
    assert out.summary == (
        "bounds: 0 tightened, 1 loosened, 1 set that the recipe did not give; 1 of all clipped"
    )


def in_data_juicer(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script beside Data-Juicer in a child process where it cannot install anything.

    Imported as it is, in the test process, Data-Juicer installs Ray into the running environment.
    """
    guarded = "import juicer_session; juicer_session.import_data_juicer()\n" + script
    return subprocess.run(
        [sys.executable, "-c", guarded, *arguments],
        env={**os.environ, "PYTHONPATH": str(WORKERS)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_every_threshold_is_an_argument_of_its_operator() -> None:
    script = """
import inspect, json, sys
from data_juicer.ops import OPERATORS
from data_juicer.utils.constant import StatsKeysConstant
classes = {name: OPERATORS.modules[name] for name in sys.argv[1:]}
operators = {
    name: list(inspect.signature(each.__init__).parameters) for name, each in classes.items()
}
statistics = [*map(str, vars(StatsKeysConstant).values())]
print(json.dumps({"operators": operators, "statistics": statistics}))
"""
    done = in_data_juicer(script, *THRESHOLDS)
    assert done.returncode == 0, done.stderr
    known = json.loads(done.stdout.splitlines()[-1])
    for operator, bounds in THRESHOLDS.items():
        for bound in bounds:
            assert bound.statistic in known["statistics"]
            assert {bound.minimum, bound.maximum} - {None} <= set(known["operators"][operator]), (
                operator
            )


@pytest.mark.slow
def test_our_recipes_name_operators_and_arguments_of_data_juicer() -> None:
    processes = [process_list(yaml.safe_load(path.read_text())) for path in RECIPES]
    assert processes
    script = """
import json, sys
from data_juicer.core.preflight import pre_instantiation_check
for process in json.loads(sys.argv[1]):
    pre_instantiation_check(process)
"""
    done = in_data_juicer(script, json.dumps(processes))
    assert done.returncode == 0, done.stderr
