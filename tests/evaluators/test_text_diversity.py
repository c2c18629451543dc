from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from contract import build, problems_of, scope
from pool_files import write_texts

from sandbox.evaluators.text_diversity import DiversityScores, TextDiversityEvaluator

Pool = Callable[..., Path]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return lambda texts, name="pool.jsonl": write_texts(tmp_path / name, texts)


def judge(pool: Path | Sequence[Path], folder: Path, **arguments: Any) -> DiversityScores:
    evaluator = build(TextDiversityEvaluator, **arguments)
    scores: DiversityScores = evaluator.run(None, pool, scope=scope(folder))
    return scores


def test_lengths(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["a", "a bc", "d e f", "g h i j"]), tmp_path)
    assert scores.num_samples == 4
    assert scores.words_mean == 2.5
    assert scores.words_std == pytest.approx(math.sqrt(1.25))
    assert (scores.words_q1, scores.words_median, scores.words_q3) == (1.75, 2.5, 3.25)
    assert scores.chars_mean == 4.25
    assert scores.chars_median == 4.5


def test_duplicates_exact_and_normalized(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["A cat.", "A cat.", "a  cat", "A dog."]), tmp_path)
    assert scores.duplicate_fraction == 0.25
    assert scores.normalized_duplicate_fraction == 0.5


def test_texts_without_words_are_duplicates_only_when_equal(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["!!!", "???", "!!!"]), tmp_path)
    assert scores.normalized_duplicate_fraction == pytest.approx(1 / 3)


def test_ngrams_stay_within_samples(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["the cat the cat", "the dog"]), tmp_path)
    assert scores.distinct_1 == 3 / 6
    assert scores.distinct_2 == 3 / 4  # the cat, cat the, the dog
    assert scores.distinct_3 == 1.0
    assert scores.ngram_entropy_1 == pytest.approx(1 / 2 + math.log2(3) / 3 + math.log2(6) / 6)
    assert scores.ngram_entropy_3 == 1.0


def test_a_data_set_without_ngrams_scores_zero(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["one", ""]), tmp_path)
    assert (scores.distinct_2, scores.ngram_entropy_2, scores.ngram_entropy_1) == (0, 0, 0)
    assert scores.words_mean == 0.5


def test_chinese_characters_are_words_and_marks_are_not(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["<__dj__image> 一只猫 and<|__dj__eoc|>"]), tmp_path)
    assert scores.words_mean == 4
    assert scores.distinct_1 == 1.0


def test_max_words_makes_unequal_data_sets_comparable(pool: Pool, tmp_path: Path) -> None:
    small, large = pool(["a b c"], "small.jsonl"), pool(["a b c"] * 10, "large.jsonl")
    assert judge(large, tmp_path).distinct_1 == 0.1
    assert judge(large, tmp_path, max_words=3).distinct_1 == 1.0
    assert judge(small, tmp_path).distinct_1 == 1.0


def test_several_files_are_one_data_set(pool: Pool, tmp_path: Path) -> None:
    paths = [pool(["same"], "a.jsonl"), pool(["same"], "b.jsonl")]
    assert judge(paths, tmp_path).duplicate_fraction == 0.5


def test_max_words_must_be_positive() -> None:
    (problem,) = problems_of(TextDiversityEvaluator, max_words=0)
    assert (problem.where, problem.kind) == ("max_words", "constraint")
