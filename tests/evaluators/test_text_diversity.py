from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.evaluators.text_diversity import TextDiversityEvaluator

Pool = Callable[..., Path]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    def write(texts: Sequence[str], name: str = "pool.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return path

    return write


def judge(eval_obj: Any, tmp_path: Path, **arguments: Any) -> dict[str, Any]:
    outputs = TextDiversityEvaluator(**arguments).run(None, eval_obj, output_dir=tmp_path)
    assert set(outputs) == set(TextDiversityEvaluator.OUTPUTS)
    return dict(outputs)


def test_lengths(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["a", "a bc", "d e f", "g h i j"]), tmp_path)
    assert scores["num_samples"] == 4
    assert scores["words_mean"] == 2.5
    assert scores["words_std"] == pytest.approx(math.sqrt(1.25))
    assert [scores[f"words_{name}"] for name in ("q1", "median", "q3")] == [1.75, 2.5, 3.25]
    assert scores["chars_mean"] == 4.25
    assert scores["chars_median"] == 4.5


def test_duplicates_exact_and_normalized(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["A cat.", "A cat.", "a  cat", "A dog."]), tmp_path)
    assert scores["duplicate_fraction"] == 0.25
    assert scores["normalized_duplicate_fraction"] == 0.5


def test_texts_without_words_are_duplicates_only_when_equal(pool: Pool, tmp_path: Path) -> None:
    assert judge(pool(["!!!", "???", "!!!"]), tmp_path)[
        "normalized_duplicate_fraction"
    ] == pytest.approx(1 / 3)


def test_ngrams_stay_within_samples(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["the cat the cat", "the dog"]), tmp_path)
    assert scores["distinct_1"] == 3 / 6
    assert scores["distinct_2"] == 3 / 4  # the cat, cat the, the dog
    assert scores["distinct_3"] == 1.0
    assert scores["ngram_entropy_1"] == pytest.approx(1 / 2 + math.log2(3) / 3 + math.log2(6) / 6)
    assert scores["ngram_entropy_3"] == 1.0


def test_a_data_set_without_ngrams_scores_zero(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["one", ""]), tmp_path)
    assert (scores["distinct_2"], scores["ngram_entropy_2"], scores["ngram_entropy_1"]) == (
        0.0,
        0.0,
        0.0,
    )
    assert scores["words_mean"] == 0.5


def test_chinese_characters_are_words_and_marks_are_not(pool: Pool, tmp_path: Path) -> None:
    scores = judge(pool(["<__dj__image> 一只猫 and<|__dj__eoc|>"]), tmp_path)
    assert scores["words_mean"] == 4
    assert scores["distinct_1"] == 1.0


def test_max_words_makes_unequal_data_sets_comparable(pool: Pool, tmp_path: Path) -> None:
    small, large = pool(["a b c"], "small.jsonl"), pool(["a b c"] * 10, "large.jsonl")
    assert judge(large, tmp_path)["distinct_1"] == 0.1
    assert (
        judge(large, tmp_path, max_words=3)["distinct_1"]
        == judge(small, tmp_path)["distinct_1"]
        == 1.0
    )


def test_several_files_are_one_data_set(pool: Pool, tmp_path: Path) -> None:
    paths = [pool(["same"], "a.jsonl"), str(pool(["same"], "b.jsonl"))]
    assert judge(paths, tmp_path)["duplicate_fraction"] == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": ', "line 2 is not JSON"),
        ('{"caption": "a", "id": 1}\n', "keys: caption, id"),
        ('{"text": null}\n', "no text under 'text'"),
        ("[1]\n", "line 1 is no JSON object"),
        ("\n\n", "no samples"),
    ],
    ids=["cut off", "other key", "null", "no object", "empty"],
)
def test_bad_lines_are_errors_that_name_the_place(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as failure:
        judge(path, tmp_path)
    assert str(path) in str(failure.value)


@pytest.mark.parametrize("eval_obj", [[], None, 3, [{"text": "a"}]], ids=str)
def test_something_that_is_no_path_is_an_error(eval_obj: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eval_obj"):
        judge(eval_obj, tmp_path)


def test_arguments_are_checked(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_words"):
        TextDiversityEvaluator(max_words=0)
    with pytest.raises(ValueError, match="available: text_diversity"):
        TextDiversityEvaluator().run("lengths", pool(["a"]), output_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        judge(tmp_path / "missing.jsonl", tmp_path)
