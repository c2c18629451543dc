"""The decision between candidates and a baseline."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from contract import build, problems_of, request_problems, scope

from sandbox.evaluators.decision import Decision, DecisionScores

NUM_ITEMS = 200
SEEDS = (101, 102, 103, 104, 105)


def write_scores(
    folder: Path, name: str, mean: float, metric: str = "CIDEr", num: int = NUM_ITEMS
) -> Path:
    """Scores whose mean over items is exactly ``mean``, with a spread of about 0.3."""
    rng = random.Random(name)
    noise = [rng.gauss(0, 0.3) for _ in range(num)]
    shift = mean - sum(noise) / num
    path = folder / f"{name}.json"
    path.write_text(json.dumps({metric: {str(n): value + shift for n, value in enumerate(noise)}}))
    return path


def decide(
    folder: Path,
    means: Mapping[str, Sequence[float]],
    num_items: int | None = NUM_ITEMS,
    **arguments: Any,
) -> DecisionScores:
    """Decide by models with these mean scores, from files unless there are no items."""
    models = [
        (name, seed, mean)
        for name, scores in means.items()
        for seed, mean in zip(SEEDS, scores, strict=False)
    ]
    scores: list[Any] = [mean for *_, mean in models]
    if num_items is not None:
        scores = [
            write_scores(folder, f"{name}-{seed}", mean, num=num_items)
            for name, seed, mean in models
        ]
    evaluator = build(
        Decision,
        candidates=[f"/pools/{name}.jsonl" for name, *_ in models],
        seeds=[seed for _, seed, _ in models],
        **{"baseline": "random", "metric": "CIDEr", **arguments},
    )
    decided: DecisionScores = evaluator.run(None, scores, scope=scope(folder))
    return decided


def test_a_better_candidate_is_called_better(tmp_path: Path) -> None:
    decided = decide(
        tmp_path,
        {"top": [2.05, 2.07, 2.09], "random": [1.48, 1.49, 1.50]},
        candidate_title="best found pool",
        baseline_title="random pool of equal size",
    )

    assert decided.best == "top"
    assert decided.candidate_score == pytest.approx(2.07)
    assert decided.baseline_score == pytest.approx(1.49)
    assert decided.difference == pytest.approx(0.58)
    assert decided.lower is not None
    assert decided.upper is not None
    assert 0.4 < decided.lower < 0.58 < decided.upper < 0.76
    assert decided.better == 1
    assert decided.signal_to_noise == pytest.approx(0.58 / 0.02)
    assert decided.summary.startswith(
        "The best found pool (top) is better than the random pool of equal size (random): "
        "CIDEr 2.07 against 1.49, improvement +0.58, 95 % interval [+0."
    )
    assert decided.summary.endswith("3 seeds, 200 items, signal-to-noise ratio 29.")
    report = decided.report_path.read_text()
    assert decided.summary in report
    assert "| top | 2.07 | 0.02 | +0.58 | [+0." in report
    assert "| top | 2.05 | 2.07 | 2.09 |" in report
    numbers = json.loads(decided.numbers_path.read_text())
    assert numbers["comparisons"][0]["lower"] == decided.lower


def test_a_worse_candidate_is_called_worse(tmp_path: Path) -> None:
    decided = decide(tmp_path, {"top": [1.02, 1.0, 1.01], "random": [1.48, 1.49, 1.50]})
    assert decided.better == 0
    assert "(top) is worse than the baseline (random)" in decided.summary


def test_without_a_decision_the_number_of_further_seeds_is_named(tmp_path: Path) -> None:
    decided = decide(tmp_path, {"top": [1.6, 1.5, 1.7], "random": [1.5, 1.55, 1.45]})
    # differences 0.1, -0.05, 0.25: t(11) · 0.15 / √12 is the first such product below 0.1
    assert decided.better == 0
    assert decided.summary.startswith("No decision between the best candidate (top) and the base")
    assert decided.summary.endswith("; about 9 more seeds would be needed.")


def test_one_score_a_model_gives_the_paired_t_interval(tmp_path: Path) -> None:
    decided = decide(
        tmp_path,
        {"few": [2.10, 2.11, 2.08], "random": [2.20, 2.19, 2.22]},
        num_items=None,
        metric="bits_per_byte",
        higher_is_better=False,
    )
    # improvements 0.10, 0.08, 0.14: mean 0.10667, standard deviation 0.030551, t(2) = 4.30265
    assert decided.difference == pytest.approx(0.32 / 3)
    assert decided.lower == pytest.approx(0.32 / 3 - 4.30265 * 0.0305505 / 3**0.5, rel=1e-4)
    assert decided.better == 1
    assert "bits_per_byte 2.1 against 2.2, improvement +0.107" in decided.summary
    assert "item" not in decided.summary


def test_of_several_candidates_each_has_its_own_decision(tmp_path: Path) -> None:
    means = {
        "random": [1.48, 1.49, 1.50],
        "low": [0.98, 1.00, 0.99],
        "same": [1.40, 1.50, 1.60],
        "top": [2.07, 2.05, 2.09],
    }
    decided = decide(tmp_path, means)
    assert "Dunnett" in decided.report_path.read_text()
    alone = decide(tmp_path, {name: means[name] for name in ("top", "random")})

    verdicts = {name: each["verdict"] for name, each in decided.candidates.items()}
    assert verdicts == {"top": "better", "same": "no decision", "low": "worse"}
    assert list(verdicts) == ["top", "same", "low"]
    assert "; same: no decision, +0.01 [-" in decided.summary
    assert "; low: worse, -0.5 [-" in decided.summary
    assert decided.lower is not None
    assert alone.lower is not None
    assert decided.lower < alone.lower


def test_decisions_on_many_candidates_are_counted(tmp_path: Path) -> None:
    means = {
        "random": [1.48, 1.49, 1.50],
        "low": [0.98, 1.00, 0.99],
        "same": [1.40, 1.50, 1.60],
        "also": [1.40, 1.50, 1.60],
        "top": [2.07, 2.05, 2.09],
    }
    summary = decide(tmp_path, means).summary
    assert summary.endswith("; of 4 candidates 1 better, 1 worse, the others undecided.")


def test_scores_may_be_lists_by_candidate(tmp_path: Path) -> None:
    decision = build(
        Decision,
        candidates=["top", "top", "random", "random"],
        seeds=[1, 2, 1, 2],
        baseline="random",
        metric="loss",
    )
    flat = decision.run(None, [2.1, 2.3, 1.6, 1.9], scope=scope(tmp_path))
    nested = decision.run(None, [[2.1, 2.3], [1.6, 1.9]], scope=scope(tmp_path))
    assert nested == flat


def test_models_that_differ_widen_the_interval(tmp_path: Path) -> None:
    alike = decide(tmp_path, {"top": [2.00, 2.02, 2.04], "random": [1.52, 1.51, 1.50]})
    different = decide(tmp_path, {"top": [1.6, 2.0, 2.4], "random": [1.9, 1.5, 1.1]})
    assert width(different) > 5 * width(alike)


def test_noise_that_models_of_one_seed_share_does_not_widen_the_interval(tmp_path: Path) -> None:
    paired = decide(tmp_path, {"top": [1.6, 2.0, 2.4], "random": [1.12, 1.5, 1.88]})
    shuffled = decide(tmp_path, {"top": [1.6, 2.0, 2.4], "random": [1.5, 1.88, 1.12]})
    assert width(shuffled) > 5 * width(paired)


def test_models_are_paired_by_seed_in_any_order(tmp_path: Path) -> None:
    scores = {("top", 1): 2.1, ("top", 2): 2.3, ("random", 2): 1.9, ("random", 1): 1.6}

    def decided(order: Sequence[tuple[str, int]]) -> DecisionScores:
        names, seeds = zip(*order, strict=True)
        decision = Decision(candidates=names, seeds=seeds, baseline="random", metric="loss")
        return decision.run(None, [scores[key] for key in order], scope=scope(tmp_path))

    first, second = decided(list(scores)), decided(list(scores)[::-1])
    assert (first.lower, first.upper) == (second.lower, second.upper)


def width(decided: DecisionScores) -> float:
    assert decided.lower is not None
    assert decided.upper is not None
    return decided.upper - decided.lower


@pytest.mark.parametrize(
    ("means", "num_items", "reason"),
    [
        ({"top": [2.0], "random": [1.5]}, 12, "12 items are too few, at least 30 are needed"),
        ({"top": [2.0] * 3, "random": [1.5] * 3}, 12, "12 items are too few"),
        ({"top": [2.0], "random": [1.5]}, None, "one seed is too few, at least 2 are needed"),
        ({"top": [2.0] * 3, "random": [1.5] * 3}, None, "the differences are all equal"),
    ],
    ids=["smoke", "few-items", "one-score", "no-spread"],
)
def test_a_run_that_is_too_small_means_nothing(
    tmp_path: Path, means: dict[str, list[float]], num_items: int | None, reason: str
) -> None:
    decided = decide(tmp_path, means, num_items)
    assert decided.lower is None
    assert decided.upper is None
    assert decided.better == 0
    assert "(top) with the baseline (random) means nothing: CIDEr 2 against 1.5" in decided.summary
    assert reason in decided.summary
    assert "interval" not in decided.summary


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    decided = decide(tmp_path, {"top": [2.5], "random": [1.5]})
    assert decided.lower is not None
    assert decided.lower > 0
    assert decided.better == 0
    assert "95 % interval over items alone [+" in decided.summary
    assert decided.summary.endswith("; one seed says nothing about another training.")


@pytest.mark.parametrize(
    ("candidates", "seeds", "message"),
    [
        (["top", "low"], [1, 1], "baseline: random is not among the candidates; available: top, l"),
        ([], [], "baseline: random is not among the candidates; available: none"),
        (["random"], [1], "expected others than the baseline random, given it alone"),
        (["top", "random"], [1], "given 2 candidates and 1 seeds"),
        (["top", "top", "random"], [1, 1, 1], "top has two models with seed 1, expected one"),
        (["top", "random", "random"], [1, 1, 2], "top has no model with seed 2, which random has"),
        (["top", "top", "random"], [1, 3, 1], "random has no model with seed 3, which top has"),
    ],
    ids=["no-baseline", "none", "no-candidate", "lengths", "twice", "missing", "unpaired"],
)
def test_models_that_cannot_be_paired_are_found_in_the_plan(
    candidates: list[str], seeds: list[int], message: str
) -> None:
    arguments = {"candidates": candidates, "seeds": seeds, "baseline": "/pools/random.jsonl"}
    (problem,) = problems_of(Decision, metric="CIDEr", **arguments)
    assert problem.kind == "rule"
    assert message in problem.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"CIDEr_nojava": {"0": 1, "1": 2}}', "for CIDEr; available: CIDEr_nojava"),
        ("[1, 2]", "for CIDEr; available: none"),
        ("no", "is no JSON file"),
        ('{"CIDEr": {"0": 1}}', "1 items have CIDEr, expected at least two"),
        ('{"CIDEr": {"0": 1, "1": 1, "2": 1, "7": 1}}', "first: 7"),
        ('{"CIDEr": {"0": 1, "1": NaN, "2": 1}}', "CIDEr of 1 is nan, expected a finite number"),
        ('{"CIDEr": {"0": 1, "1": "2", "2": 1}}', "CIDEr of 1 is '2', expected a finite number"),
    ],
    ids=["metric", "list", "text", "one-item", "items", "nan", "text-score"],
)
def test_a_wrong_score_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    good = write_scores(tmp_path, "good", 1.0, num=3)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(content)
    decision = Decision(
        candidates=["random", "top"], seeds=[1, 1], baseline="random", metric="CIDEr"
    )
    with pytest.raises(ValueError, match=rf"^{wrong}.*{message}"):
        decision.run(None, [good, wrong], scope=scope(tmp_path))


def test_every_model_has_one_score(tmp_path: Path) -> None:
    decision = Decision(candidates=["a", "b"], seeds=[1, 1], baseline="b", metric="loss")
    with pytest.raises(ValueError, match="for each of 2 models; got 1"):
        decision.run(None, [1.0], scope=scope(tmp_path))
    with pytest.raises(ValueError, match="loss of model 1 is nan"):
        decision.run(None, [1.0, float("nan")], scope=scope(tmp_path))


def test_scores_are_all_files_or_all_numbers(tmp_path: Path) -> None:
    def places(eval_obj: Any) -> list[str]:
        return [where for _, where in request_problems(Decision, None, eval_obj)]

    assert places([tmp_path, tmp_path]) == []
    assert places([1.5, 2]) == []
    assert places([tmp_path, 2.0]) == ["eval_obj.1"]
    assert places(tmp_path) == ["eval_obj"]
