"""The comparison of a found pool with the baseline pool."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from contract import build, problems_of, request_problems, scope

from sandbox.evaluators.pool_comparison import ComparisonScores, PoolComparison

NUM_PICTURES = 200


def write_scores(
    folder: Path, name: str, mean: float, metric: str = "CIDEr", num: int = NUM_PICTURES
) -> Path:
    """Scores whose mean over pictures is exactly ``mean``, with a spread of about 0.3."""
    rng = random.Random(name)
    noise = [rng.gauss(0, 0.3) for _ in range(num)]
    shift = mean - sum(noise) / num
    path = folder / f"{name}.json"
    path.write_text(json.dumps({metric: {str(n): value + shift for n, value in enumerate(noise)}}))
    return path


def compare(
    folder: Path, candidate: list[float], baseline: list[float], **arguments: Any
) -> ComparisonScores:
    pools = ["/pools/top.jsonl"] * len(candidate) + ["/pools/random.jsonl"] * len(baseline)
    paths = [
        write_scores(folder, f"model{n}", mean) for n, mean in enumerate([*candidate, *baseline])
    ]
    evaluator = build(PoolComparison, pools=pools, baseline="random", **arguments)
    scores: ComparisonScores = evaluator.run(None, paths, scope=scope(folder))
    return scores


def test_a_better_pool_beats_the_baseline(tmp_path: Path) -> None:
    outputs = compare(tmp_path, [2.05, 2.07, 2.09], [1.48, 1.49, 1.50])
    assert outputs.candidate_score == pytest.approx(2.07)
    assert outputs.baseline_score == pytest.approx(1.49)
    assert outputs.difference == pytest.approx(0.58)
    assert 0.45 < outputs.lower < 0.58 < outputs.upper < 0.71
    assert outputs.better == 1
    assert outputs.summary.startswith(
        "The best found pool (top) beats the random pool of equal size (random): "
        "CIDEr 2.07 against 1.49, +0.580, 95 % interval [+0."
    )
    assert outputs.summary.endswith("3 seeds, 200 pictures.")
    report = outputs.report_path.read_text()
    assert outputs.summary in report
    assert "| top | 2.070 | 2.050, 2.070, 2.090 |" in report


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [([1.50, 1.47, 1.52], "does not clearly differ from"), ([1.0, 1.0, 1.0], "is worse than")],
    ids=["equal", "worse"],
)
def test_the_summary_admits_that_there_is_no_advantage(
    tmp_path: Path, candidate: list[float], verdict: str
) -> None:
    outputs = compare(tmp_path, candidate, [1.48, 1.49, 1.50])
    assert outputs.better == 0
    assert f"(top) {verdict} the random pool" in outputs.summary


def test_models_that_differ_widen_the_interval(tmp_path: Path) -> None:
    alike = compare(tmp_path, [2.0, 2.0, 2.0], [1.5, 1.5, 1.5])
    different = compare(tmp_path, [1.6, 2.0, 2.4], [1.1, 1.5, 1.9])
    assert different.upper - different.lower > 2 * (alike.upper - alike.lower)


def test_the_seed_decides_the_interval(tmp_path: Path) -> None:
    first, same, other = (
        compare(tmp_path, [2.0, 2.1], [1.5, 1.7], seed=seed).lower for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other


def test_the_report_admits_that_a_pool_has_one_model(tmp_path: Path) -> None:
    outputs = compare(tmp_path, [2.0], [1.5, 1.6])
    assert "1 seed against 2, 200 pictures" in outputs.summary
    assert "one model only" in outputs.report_path.read_text()


def test_score_files_may_come_in_lists_per_pool(tmp_path: Path) -> None:
    flat = compare(tmp_path, [2.0, 2.1], [1.5, 1.6])
    paths = [tmp_path / f"model{n}.json" for n in range(4)]
    comparison = PoolComparison(pools=["my.data.v1", "random.jsonl"], baseline="random")
    nested = comparison.run(None, [paths[:2], paths[2:]], scope=scope(tmp_path))
    assert nested.lower == flat.lower
    assert "(my.data.v1) beats" in nested.summary


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        (["top", "low"], "expected the baseline random and one other pool; pools are: top, low"),
        (["random", "random"], "one other pool; pools are: random"),
        (["top", "low", "random"], "one other pool; pools are: top, low, random"),
        ([], "pools are: none"),
    ],
    ids=["no-baseline", "no-candidate", "two-candidates", "none"],
)
def test_pools_must_be_one_candidate_and_the_baseline(pools: list[str], message: str) -> None:
    (problem,) = problems_of(PoolComparison, pools=pools, baseline="random")
    assert problem.kind == "rule"
    assert message in problem.text


def test_score_files_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    comparison = PoolComparison(pools=["top", "random"], baseline="random")
    good = write_scores(tmp_path, "good", 1.0)
    with pytest.raises(ValueError, match="for each of 2 pools; got 1"):
        comparison.run(None, [good], scope=scope(tmp_path))
    other_metric = write_scores(tmp_path, "other", 1.0, metric="CIDEr_nojava")
    with pytest.raises(ValueError, match="no scores for CIDEr; available: CIDEr_nojava"):
        comparison.run(None, [good, other_metric], scope=scope(tmp_path))
    fewer = write_scores(tmp_path, "fewer", 1.0, num=NUM_PICTURES - 1)
    with pytest.raises(
        ValueError, match="1 pictures are not in both it and the first file, such as 199"
    ):
        comparison.run(None, [good, fewer], scope=scope(tmp_path))


def test_score_files_come_in_a_list(tmp_path: Path) -> None:
    def places(eval_obj: Any) -> list[str]:
        found = request_problems(PoolComparison, None, eval_obj)
        return [where for _, where in found]

    assert places([tmp_path, [tmp_path, tmp_path]]) == []
    assert places(tmp_path) == ["eval_obj"]


def test_an_interval_needs_100_resamples() -> None:
    arguments = {"pools": ["top", "random"], "baseline": "random", "num_resamples": 10}
    (problem,) = problems_of(PoolComparison, **arguments)
    assert (problem.where, problem.kind) == ("num_resamples", "constraint")
