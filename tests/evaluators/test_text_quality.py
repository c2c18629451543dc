from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import build, problems_of, request_problems, scope
from pool_files import write_texts as write
from tiny_models import BAD, GOOD, quality_classifiers

from sandbox.evaluators.text_quality import QualityScores, TextQuality
from sandbox.samples import SampleError

TEXTS = [
    "the study of old rivers",
    "buy cheap casino bonus now",
    "",
    " water\u2028\nmoves  click",
    "a \ud800 deal",
]


def score(
    model: Path, pool: Path, folder: Path, **arguments: Any
) -> tuple[QualityScores, list[Any]]:
    evaluator = build(TextQuality, model_path=model, **arguments)
    outputs = evaluator.run(None, pool, scope=scope(folder))
    lines = outputs.scores_path.read_text().splitlines()
    assert list(folder.glob("**/*.jsonl")) == [outputs.scores_path], "temporary files remain"
    return outputs, [json.loads(line)["__dj__stats__"] for line in lines]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Train two classifiers of Data-Juicer's layout, and score TEXTS with Data-Juicer itself.

    Without the last text, which Data-Juicer cannot read.
    """
    folder = tmp_path_factory.mktemp("classifiers")
    return folder, quality_classifiers(folder, TEXTS[:4])


@pytest.mark.slow
def test_scores_equal_those_of_data_juicer(
    classifiers: tuple[Path, list[float]], tmp_path: Path
) -> None:
    folder, expected = classifiers
    outputs, rows = score(
        folder / "whole", write(tmp_path / "pool.jsonl", TEXTS * 40), tmp_path / "out"
    )
    scores = [row["doc_score"] for row in rows]
    assert len(rows) == outputs.num_samples == 200
    assert scores[:4] == expected and scores == scores[:5] * 40
    assert scores[0] > 0.99 and scores[1] < 0.01
    assert [row["keep_label"] for row in rows] == [value > 0.5 for value in scores]
    assert outputs.mean_score == pytest.approx(np.mean(scores))
    assert outputs.median_score == pytest.approx(np.median(scores))
    assert outputs.keep_ratio_label == np.mean(np.array(scores) > 0.5)
    # A score of 0.4 is kept with probability P(x > 0.6) = 1.6⁻⁹, one in 69; a score of 1 always.
    kept = np.array([row["keep_pareto"] for row in rows])
    assert kept[::5].all() and kept[1::5].mean() == 0 and outputs.keep_ratio_pareto == kept.mean()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sentencepiece") is None, reason="sentencepiece is not installed")
def test_texts_are_split_by_a_sentencepiece_model(
    classifiers: tuple[Path, list[float]], tmp_path: Path
) -> None:
    import sentencepiece

    folder, _ = classifiers
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(" ".join(GOOD + BAD) for _ in range(50)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(tmp_path / "tiny.sp"),
        model_type="word",
        vocab_size=50,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pool = write(tmp_path / "pool.jsonl", TEXTS)
    _, rows = score(
        folder / "pieces", pool, tmp_path / "out", tokenizer_path=tmp_path / "tiny.sp.model"
    )
    assert rows[0]["doc_score"] > 0.99 and rows[1]["doc_score"] < 0.01 and len(rows) == len(TEXTS)


def saved(folder: Path, *stages: str) -> Path:
    """Make a folder that looks from outside like a pipeline that Spark saved."""
    for name, place in [
        ("PipelineModel", "."),
        *((s, f"stages/{n}_{s}") for n, s in enumerate(stages)),
    ]:
        path = folder / place / "metadata" / "part-00000"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"class": f"org.apache.spark.ml.{name}"}))
    return folder


def test_a_folder_that_is_no_classifier_is_named(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["a"])
    with pytest.raises(
        ValueError, match=f"model_path: {tmp_path} is no quality classifier; expected .*gpt3"
    ):
        score(tmp_path, pool, tmp_path / "out")
    with pytest.raises(ValueError, match="is no quality classifier"):
        TextQuality(model_path=tmp_path).check()
    with pytest.raises(ValueError, match="has the stages Tokenizer; expected"):
        score(saved(tmp_path / "half", "Tokenizer"), pool, tmp_path / "out")


@pytest.mark.parametrize("name", ["part-00000", "aaa"])
def test_a_pipeline_with_a_class_of_others_is_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path, "Tokenizer", "LogisticRegressionModel")
    (folder / "stages/0_Tokenizer/metadata" / name).write_text('{"class": "joblib.numpy_pickle"}')
    with pytest.raises(
        ValueError, match=r"names 'joblib\.numpy_pickle', which is no part of Spark"
    ):
        TextQuality(model_path=folder).check()


def test_tokenizer_and_classifier_must_fit(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["a"])
    whole = saved(tmp_path / "whole", "Tokenizer", "HashingTF", "LogisticRegressionModel")
    pieces = saved(tmp_path / "pieces", "HashingTF", "LogisticRegressionModel")
    with pytest.raises(
        ValueError, match=r"tokenizer_path: .*pieces contains no tokenizer; .*zh\.sp\.model"
    ):
        score(pieces, pool, tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"tokenizer_path: got .*, but .*whole contains a tokenizer"
    ):
        score(whole, pool, tmp_path / "out", tokenizer_path=pool)


def test_an_unreadable_pool_is_an_error_before_spark_starts(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", "Tokenizer", "HashingTF", "LogisticRegressionModel")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"te')
    with pytest.raises(SampleError, match=":2: not valid JSON"):
        score(whole, tmp_path / "bad.jsonl", tmp_path / "out")
    with pytest.raises(SampleError, match="empty"):
        score(whole, write(tmp_path / "empty.jsonl", []), tmp_path / "out")
    assert not list(tmp_path.glob("out/**/texts.jsonl")), "temporary files remain"


def test_missing_java_is_found_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"no program java on the PATH.*evaluator=text_likelihood"):
        TextQuality(model_path=tmp_path).check()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=f"no program java in JAVA_HOME, {tmp_path}/bin"):
        TextQuality(model_path=tmp_path).check()


def test_eval_type_is_checked_in_the_plan(tmp_path: Path) -> None:
    assert request_problems(TextQuality, "text_quality", tmp_path) == []
    assert request_problems(TextQuality, "other", tmp_path) == [("wrong_type", "eval_type")]


@pytest.mark.parametrize("name", ["num_threads", "memory_gb"])
def test_counts_must_be_positive(name: str, tmp_path: Path) -> None:
    (problem,) = problems_of(TextQuality, **{"model_path": str(tmp_path), name: 0})
    assert (problem.where, problem.kind) == (name, "constraint")
