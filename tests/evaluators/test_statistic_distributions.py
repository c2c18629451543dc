from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox.evaluators.statistic_distributions import StatisticDistributions

STATS = "__dj__stats__"


def write(path: Path, samples: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path


def describe(pool: Any, output_dir: Path, **arguments: Any) -> dict[str, Any]:
    outputs = StatisticDistributions(**arguments).run(None, pool, output_dir=output_dir)
    assert set(outputs) == set(StatisticDistributions.OUTPUTS)
    return dict(outputs)


def test_figures_of_statistics_and_lengths(tmp_path: Path) -> None:
    values = [4.0, 1.0, 3.0, 2.0, 10.0]
    samples = [
        {"text": "word " * count, STATS: {"score": value}} for count, value in enumerate(values, 1)
    ]
    outputs = describe(write(tmp_path / "pool.jsonl", samples), tmp_path)
    assert outputs["num_samples"] == 5 and outputs["left_out"] == []
    assert list(outputs["statistics"]) == ["chars", "words", "score"]
    score = outputs["statistics"]["score"]
    assert (score["count"], score["missing"], score["min"], score["max"]) == (5, 0, 1, 10)
    assert (score["q25"], score["median"], score["q75"]) == (2, 3, 4)
    assert score["mean"] == 4 and score["std"] == pytest.approx(math.sqrt(10))
    assert score["q05"] == pytest.approx(np.quantile(values, 0.05))
    assert outputs["statistics"]["words"]["mean"] == 3
    assert outputs["statistics"]["chars"]["max"] == len("word " * 5) - 1


def test_histograms_hold_every_sample(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", [{"text": "", STATS: {"score": n}} for n in range(101)])
    outputs = describe(pool, tmp_path, num_bins=4, statistics=["score"])
    histograms = json.loads(outputs["histograms_path"].read_text())
    assert histograms["score"] == {"edges": [0, 25, 50, 75, 100], "counts": [25, 25, 25, 26]}
    assert sum(histograms["chars"]["counts"]) == 101


def test_lists_count_by_their_mean_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    stats: list[Any] = [
        {"sizes": [1, 3]},
        {"sizes": []},
        {"sizes": None},
        {},
        {"sizes": 5, "late": 1},
    ]
    pool = write(tmp_path / "pool.jsonl", [{STATS: each} for each in stats] + [{}])
    figures = describe(pool, tmp_path, text_key=None)["statistics"]
    assert (figures["sizes"]["count"], figures["sizes"]["missing"], figures["sizes"]["mean"]) == (
        2,
        4,
        3.5,
    )
    assert (figures["late"]["count"], figures["late"]["missing"]) == (1, 5)


def test_statistics_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    stats = [
        {"lang": "en", "flag": True, "mixed": 1, "names": ["a"], "n": 1},
        {"mixed": "one", "n": 2},
    ]
    outputs = describe(
        write(tmp_path / "pool.jsonl", [{STATS: each} for each in stats]), tmp_path, text_key=None
    )
    assert list(outputs["statistics"]) == ["n"]
    assert outputs["left_out"] == ["flag", "lang", "mixed", "names"]


def test_infinite_values_are_no_part_of_the_figures(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(
        f'{{"{STATS}": {{"n": Infinity}}}}\n{{"{STATS}": {{"n": NaN}}}}\n{{"{STATS}": {{"n": 2}}}}\n'
    )
    figures = describe(pool, tmp_path, text_key=None)["statistics"]["n"]
    assert (figures["count"], figures["missing"], figures["max"]) == (1, 1, 2)


def test_a_statistic_that_is_not_there_is_answered_by_those_that_are(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", [{"text": "a", STATS: {"text_len": 1, "lang": "en"}}])
    with pytest.raises(
        ValueError, match="'txt_len' is not there; available: chars, lang, text_len, words"
    ):
        describe(pool, tmp_path, statistics=["txt_len"])
    with pytest.raises(
        ValueError, match="'lang' is not numeric; available: chars, text_len, words"
    ):
        describe(pool, tmp_path, statistics=["lang"])
    with pytest.raises(ValueError, match="no numeric statistics"):
        describe(write(tmp_path / "bare.jsonl", [{"text": "a"}]), tmp_path, text_key=None)
    with pytest.raises(ValueError, match="line 1: expected a mapping under '__dj__stats__'"):
        describe(write(tmp_path / "bad.jsonl", [{"text": "a", STATS: [1]}]), tmp_path)


@pytest.mark.parametrize("given", [{"num_bins": 0}, {"statistics": "text_len"}], ids=str)
def test_arguments_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        StatisticDistributions(**given)
