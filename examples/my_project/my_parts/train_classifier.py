"""Train a perceptron on words: the program of ``ClassifierTraining``.

It runs in the executor's env, reads its request from the file that its only argument names, and
prints a metrics line after every epoch.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

Weights = dict[str, dict[str, float]]
"""Weight of a word for a label: ``{label: {word: weight}}``."""


def main(request: dict[str, Any]) -> None:
    lines = Path(request["dataset_path"]).read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    weights: Weights = {label: {} for label in sorted({sample["label"] for sample in samples})}
    rng = random.Random(request["seed"])
    for epoch in range(1, request["num_epochs"] + 1):
        rng.shuffle(samples)
        mistakes = sum(learn(weights, sample, request["learning_rate"]) for sample in samples)
        # The launcher follows the log and passes lines of this form on to the watcher.
        metrics = {"mistakes": mistakes / len(samples)}
        print(json.dumps({"metrics": metrics, "step": epoch}), flush=True)
    Path(request["model_path"]).write_text(json.dumps(weights), encoding="utf-8")


def learn(weights: Weights, sample: dict[str, str], learning_rate: float) -> bool:
    """Correct the weights where they lead to a wrong label; return True for a mistake."""
    words = sample["text"].lower().split()
    sums = {label: total(own, words) for label, own in weights.items()}
    guess = max(sums, key=sums.__getitem__)
    if guess == sample["label"]:
        return False
    for word in words:
        right, wrong = weights[sample["label"]], weights[guess]
        right[word] = right.get(word, 0.0) + learning_rate
        wrong[word] = wrong.get(word, 0.0) - learning_rate
    return True


def total(weights: dict[str, float], words: list[str]) -> float:
    """Add up the weights of words; a new word has none."""
    return sum(weights.get(word, 0.0) for word in words)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
