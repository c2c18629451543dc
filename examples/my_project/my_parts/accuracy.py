"""An evaluator of your own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import BaseEvaluator, JobScope, score
from sandbox.samples import read_samples


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a classifier.

    Args:
        accuracy: Share of samples with the right label, 0 to 1.
        num_samples: Number of samples.
    """

    accuracy: float = score(lower_is_better=False)
    num_samples: int


@dataclass(frozen=True, kw_only=True)
class ClassifierAccuracy(BaseEvaluator):
    """Measure the accuracy of a classifier on labelled texts.

    Args:
        dataset_path: Pool of samples with ``text`` and ``label``.
    """

    dataset_path: Path

    def run(self, eval_type: str | None, eval_obj: Path, *, scope: JobScope) -> Accuracy:
        weights = json.loads(eval_obj.read_text(encoding="utf-8"))
        samples = [sample for _, sample in read_samples(self.dataset_path)]
        right = [_guess(weights, sample["text"]) == sample["label"] for sample in samples]
        return Accuracy(accuracy=sum(right) / len(samples), num_samples=len(samples))


def _guess(weights: Mapping[str, Mapping[str, float]], text: str) -> str:
    """Return the label whose words weigh most in a text."""
    words = text.lower().split()
    sums = {label: _total(own, words) for label, own in weights.items()}
    return max(sums, key=sums.__getitem__)


def _total(weights: Mapping[str, float], words: Sequence[str]) -> float:
    return sum(weights.get(word, 0.0) for word in words)
