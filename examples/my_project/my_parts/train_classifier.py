"""Train a perceptron on words: the program of ``ClassifierTraining``.

It runs in the executor's env, reads its request from the file that its only argument names, and
prints a metrics line after every epoch.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from pathlib import Path


def main(request: dict) -> None:
    lines = Path(request["dataset_path"]).read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    weights = {label: defaultdict(float) for label in sorted({s["label"] for s in samples})}
    rng = random.Random(request["seed"])
    for epoch in range(1, request["num_epochs"] + 1):
        rng.shuffle(samples)
        mistakes = sum(learn(weights, sample, request["learning_rate"]) for sample in samples)
        # The launcher follows the log and passes lines of this form on to the watcher.
        metrics = {"mistakes": mistakes / len(samples)}
        print(json.dumps({"metrics": metrics, "step": epoch}), flush=True)
    Path(request["model_path"]).write_text(json.dumps(weights), encoding="utf-8")


def learn(weights: dict, sample: dict, learning_rate: float) -> bool:
    """Correct the weights where they lead to a wrong label; return True for a mistake."""
    words = sample["text"].lower().split()
    scores = {label: sum(weights[label][word] for word in words) for label in weights}
    guess = max(scores, key=scores.get)
    if guess == sample["label"]:
        return False
    for word in words:
        weights[sample["label"]][word] += learning_rate
        weights[guess][word] -= learning_rate
    return True


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
