"""Thresholds at percentiles of the samples' statistics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sandbox.hooks.refine_recipe_via_percentiles import RefineRecipeViaPercentilesHook
from sandbox.job import JobScope
from sandbox.recipes.percentiles import refine_by_percentiles

Probed = Callable[..., Path]


@pytest.fixture
def probed(tmp_path: Path) -> Probed:
    """A file of samples with these statistics."""

    def write(*statistics: Any) -> Path:
        path = tmp_path / "probed.jsonl"
        lines = [
            json.dumps({"text": "x"} | ({"__dj__stats__": each} if each else {}))
            for each in statistics
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def process(refinement: Any) -> dict[str, Any]:
    found: dict[str, Any] = refinement.recipe["process"]
    return found


def test_both_sides_are_set_to_exact_percentiles(probed: Probed) -> None:
    values = [i * i / 1000 for i in range(31)]
    path = probed(*({"alnum_ratio": value, "text_len": i} for i, value in enumerate(values)))
    out = process(refine_by_percentiles({"process": {"alphanumeric_filter": {}}}, path, 10, 80))
    low, high = np.percentile(values, [10, 80])
    assert out == {
        "alphanumeric_filter": {"min_ratio": pytest.approx(low), "max_ratio": pytest.approx(high)}
    }
    assert (
        out["alphanumeric_filter"]["min_ratio"]
        <= low
        < high
        <= out["alphanumeric_filter"]["max_ratio"]
    )


def test_0_and_100_keep_every_sample_and_whole_numbers_stay_whole(probed: Probed) -> None:
    path = probed(*({"text_len": i} for i in (7, 100, 53)))
    out = process(refine_by_percentiles({"process": {"text_length_filter": {}}}, path, 0, 100))
    assert out == {"text_length_filter": {"min_len": 7, "max_len": 100}}
    assert all(isinstance(value, int) for value in out["text_length_filter"].values())


def test_every_number_of_a_list_counts_and_missing_ones_do_not(probed: Probed) -> None:
    path = probed({"image_width": [10, 20]}, {"image_width": []}, None, {"image_width": [None, 30]})
    recipe = {"process": {"image_shape_filter": {"any_or_all": "all"}}}
    refinement = refine_by_percentiles(recipe, path, 50, 100)
    assert process(refinement) == {
        "image_shape_filter": {"any_or_all": "all", "min_width": 20, "max_width": 30}
    }


def test_single_operators_may_have_other_percentiles_or_stay(probed: Probed) -> None:
    path = probed(*({"text_len": i, "num_words": i} for i in range(101)))
    recipe = {
        "process": {
            "text_length_filter": {},
            "text_length_filter__2": {},
            "words_num_filter": {"min_num": 2},
        }
    }
    others = {"text_length_filter__2": [25, 75], "words_num_filter": None}
    refinement = refine_by_percentiles(recipe, path, 10, 90, others)
    assert process(refinement) == {
        "text_length_filter": {"min_len": 10, "max_len": 90},
        "text_length_filter__2": {"min_len": 25, "max_len": 75},
        "words_num_filter": {"min_num": 2},
    }
    assert refinement.lines()[-1] == "words_num_filter is untouched: its percentiles are null"


def test_operators_without_a_statistic_stay_as_they_are(probed: Probed) -> None:
    recipe = {"process": {"words_num_filter": {"min_num": 2}, "clean_email_mapper": {}}}
    refinement = refine_by_percentiles(recipe, probed({"text_len": 3}))
    assert refinement.recipe == refinement.original
    assert refinement.untouched == {
        "words_num_filter": "no statistic num_words",
        "clean_email_mapper": "it has no thresholds on a statistic",
    }


def test_samples_without_statistics_are_an_error(probed: Probed) -> None:
    recipe = {"process": {"words_num_filter": {}}}
    with pytest.raises(
        ValueError, match=r"probed\.jsonl: no sample has statistics .*; probe the data set"
    ):
        refine_by_percentiles(recipe, probed(None, None))
    path = probed({"num_words": 1})
    path.write_text(path.read_text() + "oops\n")
    with pytest.raises(ValueError, match=r"probed\.jsonl:2: expected a sample"):
        refine_by_percentiles(recipe, path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": -1}, "low, high: expected 0 <= low < high <= 100, got -1, 95.0"),
        ({"high": 100.5}, "low, high: expected 0 <= low < high <= 100"),
        ({"low": 95, "high": 5}, "low, high: expected"),
        ({"low": 50, "high": 50}, "low, high: expected"),
        ({"low": float("nan")}, "low, high: expected"),
        (
            {"percentiles_by_operator": {"words_num_filter": [1]}},
            r"percentiles_by_operator\.words_num_filter",
        ),
        (
            {"percentiles_by_operator": {"words_num_filter": [9, 1]}},
            "expected 0 <= low < high <= 100, got 9, 1",
        ),
    ],
)
def test_percentiles_that_are_none_are_refused_at_once(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RefineRecipeViaPercentilesHook(
            Path("x"), {"process": {"words_num_filter": {}}}, **arguments
        )


def test_percentiles_of_an_operator_that_is_not_there_are_an_error(probed: Probed) -> None:
    with pytest.raises(ValueError, match="no text_length_filter; its operators: words_num_filter"):
        refine_by_percentiles(
            {"process": {"words_num_filter": {}}}, probed(), 5, 95, {"text_length_filter": [1, 2]}
        )


def test_the_hook_writes_a_recipe_file_and_a_diff_with_reasons(
    tmp_path: Path, probed: Probed
) -> None:
    scope = JobScope("refine", tmp_path, tmp_path / "log", lambda metrics, step=None: None)
    path = probed(*({"text_len": i} for i in range(101)))
    hook = RefineRecipeViaPercentilesHook(
        path, {"np": 2, "process": [{"text_length_filter": {"min_len": 1}}]}
    )
    out = hook.run(scope)
    assert set(out) == set(hook.OUTPUTS)
    written = yaml.safe_load(out["recipe_path"].read_text())
    assert written == {"np": 2, "process": [{"text_length_filter": {"min_len": 5, "max_len": 95}}]}
    diff = out["diff_path"].read_text()
    assert "# text_length_filter.min_len: 1 → 5 (percentile 5 of text_len)\n" in diff
    assert "-    min_len: 1\n+    min_len: 5\n" in diff
    assert diff in (tmp_path / "log").read_text()
