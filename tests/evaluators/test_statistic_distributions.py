from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import build, problems_of, scope

from sandbox.evaluators.statistic_distributions import Distributions, StatisticDistributions

STATS = "__dj__stats__"


def write(path: Path, samples: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path


def describe(pool: Path, folder: Path, **arguments: Any) -> Distributions:
    evaluator = build(StatisticDistributions, **arguments)
    distributions: Distributions = evaluator.run(None, pool, scope=scope(folder))
    return distributions


def test_figures_of_statistics_and_lengths(tmp_path: Path) -> None:
    values = [4.0, 1.0, 3.0, 2.0, 10.0]
    samples = [
        {"text": "word " * count, STATS: {"score": value}} for count, value in enumerate(values, 1)
    ]
    outputs = describe(write(tmp_path / "pool.jsonl", samples), tmp_path)
    assert outputs.num_samples == 5 and outputs.left_out == []
    assert list(outputs.statistics) == ["chars", "words", "score"]
    score = outputs.statistics["score"]
    assert (score["count"], score["missing"], score["min"], score["max"]) == (5, 0, 1, 10)
    assert (score["q25"], score["median"], score["q75"]) == (2, 3, 4)
    assert score["mean"] == 4 and score["std"] == pytest.approx(math.sqrt(10))
    assert score["q05"] == pytest.approx(np.quantile(values, 0.05))
    assert outputs.statistics["words"]["mean"] == 3
    assert outputs.statistics["chars"]["max"] == len("word " * 5) - 1


def test_histograms_hold_every_sample(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", [{"text": "", STATS: {"score": n}} for n in range(101)])
    outputs = describe(pool, tmp_path, num_bins=4, statistics=["score"])
    histograms = json.loads(outputs.histograms_path.read_text())
    assert histograms["score"] == {"edges": [0, 25, 50, 75, 100], "counts": [25, 25, 25, 26]}
    assert sum(histograms["chars"]["counts"]) == 101


def test_lists_count_as_their_mean_and_missing_values_are_counted(tmp_path: Path) -> None:
    stats: list[Any] = [
        {"sizes": [1, 3]},
        {"sizes": []},
        {"sizes": None},
        {},
        {"sizes": 5, "late": 1},
    ]
    pool = write(tmp_path / "pool.jsonl", [{STATS: each} for each in stats] + [{}])
    figures = describe(pool, tmp_path, text_key=None).statistics
    sizes, late = figures["sizes"], figures["late"]
    assert (sizes["count"], sizes["missing"], sizes["mean"]) == (2, 4, 3.5)
    assert (late["count"], late["missing"]) == (1, 5)


def test_non_numeric_statistics_are_left_out(tmp_path: Path) -> None:
    stats = [
        {"lang": "en", "flag": True, "mixed": 1, "names": ["a"], "n": 1},
        {"mixed": "one", "n": 2},
    ]
    outputs = describe(
        write(tmp_path / "pool.jsonl", [{STATS: each} for each in stats]), tmp_path, text_key=None
    )
    assert list(outputs.statistics) == ["n"]
    assert outputs.left_out == ["flag", "lang", "mixed", "names"]


def test_infinite_values_do_not_count(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    values = ("Infinity", "NaN", "2")
    pool.write_text("".join(f'{{"{STATS}": {{"n": {value}}}}}\n' for value in values))
    figures = describe(pool, tmp_path, text_key=None).statistics["n"]
    assert (figures["count"], figures["missing"], figures["max"]) == (1, 1, 2)


def test_an_error_about_a_statistic_lists_the_available_ones(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", [{"text": "a", STATS: {"text_len": 1, "lang": "en"}}])
    with pytest.raises(
        ValueError, match="'txt_len' does not exist; available: chars, lang, text_len, words"
    ):
        describe(pool, tmp_path, statistics=["txt_len"])
    with pytest.raises(
        ValueError, match="'lang' is not numeric; available: chars, text_len, words"
    ):
        describe(pool, tmp_path, statistics=["lang"])
    with pytest.raises(ValueError, match="no numeric statistics"):
        describe(write(tmp_path / "bare.jsonl", [{"text": "a"}]), tmp_path, text_key=None)
    with pytest.raises(ValueError, match=":1: expected a mapping under '__dj__stats__'"):
        describe(write(tmp_path / "bad.jsonl", [{"text": "a", STATS: [1]}]), tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("num_bins", 0, "constraint"), ("statistics", "text_len", "wrong_type")],
)
def test_arguments_out_of_range_are_problems(name: str, value: Any, kind: str) -> None:
    (problem,) = problems_of(StatisticDistributions, **{name: value})
    assert (problem.where, problem.kind) == (name, kind)
