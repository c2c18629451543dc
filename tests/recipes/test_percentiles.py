"""Thresholds at percentiles of the samples' statistics."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from contract import problems_of, scope

from sandbox.hooks.refine_recipe_via_percentiles import RefineRecipeViaPercentilesHook
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
    recipe: Any = {"process": {"words_num_filter": {}}}
    with pytest.raises(
        ValueError, match=r"probed\.jsonl: no sample has statistics .*; probe the data set"
    ):
        refine_by_percentiles(recipe, probed(None, None))
    path = probed({"num_words": 1})
    path.write_text(path.read_text() + "oops\n")
    with pytest.raises(ValueError, match=r"probed\.jsonl:2: not valid JSON"):
        refine_by_percentiles(recipe, path)


def test_percentiles_are_read_from_every_format_and_from_statistics_beside(
    tmp_path: Path, probed: Probed
) -> None:
    path = probed(*({"text_len": i} for i in range(101)))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "bare.jsonl").write_text('{"text": "x"}\n' * 101)
    path.rename(tmp_path / "bare_stats.jsonl")
    for name in ("packed.jsonl.gz", "bare.jsonl"):
        refinement = refine_by_percentiles({"process": {"text_length_filter": {}}}, tmp_path / name)
        assert process(refinement) == {"text_length_filter": {"min_len": 5, "max_len": 95}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": -1}, "low, high: expected 0 <= low < high <= 100, got -1.0, 95.0"),
        ({"high": 100.5}, "low, high: expected 0 <= low < high <= 100"),
        ({"low": 95, "high": 5}, "low, high: expected"),
        ({"low": 50, "high": 50}, "low, high: expected"),
        (
            {"percentiles_by_operator": {"words_num_filter": [1]}},
            r"percentiles_by_operator.words_num_filter: expected",
        ),
        (
            {"percentiles_by_operator": {"words_num_filter": [9, 1]}},
            "expected 0 <= low < high <= 100, got 9.0, 1.0",
        ),
    ],
)
def test_percentiles_that_are_none_are_refused_at_once(
    probed: Probed, arguments: dict[str, Any], message: str
) -> None:
    recipe: Any = {"process": {"words_num_filter": {}}}
    given = {"dataset_path": probed(), "recipe": recipe, **arguments}
    (problem,) = problems_of(RefineRecipeViaPercentilesHook, **given)
    assert problem.kind == "rule"
    assert message in problem.text


def test_the_hook_writes_a_recipe_file_and_a_diff_with_reasons(
    tmp_path: Path, probed: Probed
) -> None:
    inside = scope(tmp_path)
    hook = RefineRecipeViaPercentilesHook(
        dataset_path=probed(*({"text_len": i} for i in range(101))),
        recipe={"np": 2, "process": [{"text_length_filter": {"min_len": 1}}]},
    )
    out = hook.run(scope=inside)
    written = yaml.safe_load(out.recipe_path.read_text())
    assert written == {"np": 2, "process": [{"text_length_filter": {"min_len": 5, "max_len": 95}}]}
    diff = out.diff_path.read_text()
    assert "# text_length_filter.min_len: 1 → 5, tightened (percentile 5 of text_len)\n" in diff
    assert "-    min_len: 1\n+    min_len: 5\n" in diff
    assert diff in inside.log_path.read_text()
