"""Causal language models: training, resume, evaluation, mistakes."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, request_problems
from contract import scope as scope_in

import sandbox.executors.causal_lm as causal_lm
from sandbox.evaluators.perplexity import PerplexityEvaluator
from sandbox.executors.causal_lm import CausalLMTraining
from sandbox.job import JobScope
from sandbox.system.process import ProcessError
from sandbox.system.warm import FRESH

WORKER = Path(causal_lm.__file__).parents[1] / "workers" / "causal_lm_train.py"
SMALL: dict[str, Any] = {
    "max_steps": 30,
    "batch_size": 4,
    "sequence_length": 32,
    "hidden_size": 32,
    "num_layers": 1,
    "warmup_steps": 2,
    "eval_steps": 15,
}
Events = list[tuple[dict[str, float], int | None]]
Training = Callable[..., tuple[Path, Events]]


def write(path: Path, samples: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path


@pytest.fixture
def dataset_path(tmp_path: Path) -> Path:
    texts = [
        f"The number {number} is followed by the number {number + 1}." for number in range(100)
    ]
    return write(tmp_path / "train.jsonl", [{"text": text} for text in texts])


@pytest.fixture
def heldout_path(tmp_path: Path) -> Path:
    texts = [
        f"The number {number} is followed by the number {number + 1}." for number in range(100, 130)
    ]
    return write(tmp_path / "heldout.jsonl", [{"text": text} for text in texts])


@pytest.fixture
def train(tmp_path: Path, dataset_path: Path) -> Training:
    def run(name: str = "out", **arguments: Any) -> tuple[Path, Events]:
        output_dir = tmp_path / name
        output_dir.mkdir(exist_ok=True)
        events: Events = []

        def watch(metrics: Mapping[str, Any], step: int | None = None) -> None:
            events.append((dict(metrics), step))

        training = CausalLMTraining(**{"dataset_path": dataset_path, **SMALL, **arguments})
        scope = JobScope("train", output_dir, output_dir / "log.txt", watch)
        return training.run(scope=scope).checkpoint_path, events

    return run


def evaluate(
    checkpoint: Path, heldout_path: Path, output_dir: Path, **arguments: Any
) -> dict[str, Any]:
    evaluator = PerplexityEvaluator(heldout_path=heldout_path, **arguments)
    return vars(evaluator.run(None, checkpoint, scope=scope_in(output_dir)))


@pytest.mark.slow
def test_training_lowers_the_loss_and_its_checkpoint_scores_as_watched(
    train: Training, heldout_path: Path, tmp_path: Path
) -> None:
    checkpoint, events = train(heldout_path=heldout_path)
    losses = [metrics["loss"] for metrics, _ in events if "loss" in metrics]
    assert losses[-1] < losses[0] - 1
    evaluations = {step: metrics for metrics, step in events if "eval_loss" in metrics}
    assert list(evaluations) == [15, 30]
    scores = evaluate(checkpoint, heldout_path, tmp_path / "score", sequence_length=32)
    assert scores["loss"] == pytest.approx(evaluations[30]["eval_loss"], rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    # One token is one byte here, and every text has one end besides.
    num_bytes = [len(json.loads(line)["text"]) for line in heldout_path.read_text().splitlines()]
    tokens_per_byte = 1 + len(num_bytes) / sum(num_bytes)
    assert scores["bits_per_byte"] == pytest.approx(
        scores["loss"] / math.log(2) * tokens_per_byte, rel=1e-3
    )

    by_text = json.loads(scores["per_text_path"].read_text())
    for metric in ("loss", "bits_per_byte"):
        parts = by_text[metric].values()
        # Only the last text may be cut off as a whole.
        assert len(num_bytes) - 1 <= len(parts) <= len(num_bytes)
        assert sum(parts) / len(parts) == pytest.approx(scores[metric])

    continued, events = train("continued", model_path=checkpoint, max_steps=15, learning_rate=1e-3)
    assert events[0][0]["loss"] < losses[0] - 1
    assert evaluate(continued, heldout_path, tmp_path / "second")["loss"] < scores["loss"]


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(train: Training, tmp_path: Path) -> None:
    whole, _ = train("whole", save_steps=10, logging_steps=1)
    request = json.loads((tmp_path / "whole" / "causal_lm_train_request.json").read_text())
    cut = tmp_path / "cut"
    cut.mkdir()
    request_path = cut / "request.json"
    request_path.write_text(
        json.dumps({**request, "output_dir": str(cut), "resume_dir": str(cut / "resume")})
    )
    with subprocess.Popen(
        [sys.executable, WORKER, request_path, cut / "result.json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout
        for line in worker.stdout:
            if line.startswith("{") and json.loads(line)["step"] == 14:
                os.kill(worker.pid, signal.SIGKILL)
                break
    assert not (cut / "checkpoint").exists()
    resumed, events = train("cut", save_steps=10, logging_steps=1)
    assert events[0][1] in (11, 21)  # it may have got past step 20 before it was dead
    model = "model.safetensors"
    assert (resumed / model).read_bytes() == (whole / model).read_bytes()


@pytest.mark.slow
def test_forks_and_fresh_processes_make_the_same_checkpoint(
    train: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, events = train("first")
    second, _ = train("second")  # a fork of the same parent
    monkeypatch.setenv(FRESH, "1")
    fresh, fresh_events = train("fresh")
    assert events == fresh_events
    names = sorted(path.name for path in fresh.iterdir())
    for checkpoint in (first, second):
        assert sorted(path.name for path in checkpoint.iterdir()) == names
        for name in names:
            assert (checkpoint / name).read_bytes() == (fresh / name).read_bytes(), name


@pytest.mark.slow
def test_the_seed_decides_the_weights(train: Training) -> None:
    first, second = train("a", max_steps=2)[0], train("b", max_steps=2, seed=1)[0]
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"caption": "x"}], ":1: no text under 'text'; keys: caption"),
        ([], "the data pool is empty"),
        ([{"text": "short"}], "6 tokens, fewer than one row of sequence_length 32"),
    ],
    ids=["no text", "empty", "too short"],
)
def test_bad_data_ends_the_training_with_one_clear_line(
    samples: list[dict[str, str]], message: str, train: Training, tmp_path: Path
) -> None:
    bad = write(tmp_path / "bad.jsonl", samples)
    with pytest.raises(ProcessError, match=message) as failure:
        train(dataset_path=bad)
    assert str(bad) in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert failure.value.returncode == 1


@pytest.mark.slow
def test_a_folder_that_is_no_checkpoint_is_named(heldout_path: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ProcessError, match="is not a checkpoint of a causal language model"
    ) as failure:
        evaluate(tmp_path, heldout_path, tmp_path / "score")
    assert "Traceback" not in str(failure.value)


@pytest.mark.slow
def test_a_training_that_diverges_fails(train: Training) -> None:
    with pytest.raises(ProcessError, match="lower learning_rate"):
        train(learning_rate=1e30)


@pytest.mark.parametrize(
    "given",
    [{"max_steps": 0}, {"hidden_size": 48}, {"warmup_steps": -1}, {"learning_rate": 0.0}],
    ids=str,
)
def test_training_arguments_are_checked(given: dict[str, Any], tmp_path: Path) -> None:
    (problem,) = problems_of(CausalLMTraining, dataset_path=tmp_path, **given)
    assert problem.where == next(iter(given))
    assert problem.kind == ("rule" if "hidden_size" in given else "constraint")


def test_evaluation_arguments_are_checked(heldout_path: Path, tmp_path: Path) -> None:
    (problem,) = problems_of(PerplexityEvaluator, heldout_path=heldout_path, sequence_length=0)
    assert (problem.where, problem.kind) == ("sequence_length", "constraint")
    assert request_problems(PerplexityEvaluator, "perplexity", tmp_path) == []
    wrong_type = request_problems(PerplexityEvaluator, "accuracy", tmp_path)
    wrong_object = request_problems(PerplexityEvaluator, None, [tmp_path])
    assert wrong_type == [("wrong_type", "eval_type")]
    assert wrong_object == [("wrong_type", "eval_obj")]
