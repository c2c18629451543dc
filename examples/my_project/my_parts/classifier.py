"""An executor of your own, which trains in a program of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import BaseModelExecutor, CurrentEnv, Env, JobScope, PositiveFloat, PositiveInt

PROGRAM = Path(__file__).with_name("train_classifier.py")


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained classifier.

    Args:
        model_path: Its weights: JSON, ``{label: {word: weight}}``.
    """

    model_path: Path


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(BaseModelExecutor):
    """Train a classifier that adds up the weights of a text's words.

    Args:
        dataset_path: Pool of samples with ``text`` and ``label``.
        num_epochs: Passes through the pool.
        learning_rate: Change of a weight after a mistake.
        seed: Seed of the order of the samples.
        env: Where the program runs.
    """

    dataset_path: Path
    num_epochs: PositiveInt = 5
    learning_rate: PositiveFloat = 1.0
    seed: int = 0
    env: Env = field(default_factory=CurrentEnv)

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        request = {
            "dataset_path": str(self.dataset_path.absolute()),
            "num_epochs": self.num_epochs,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            "model_path": str(self._model_path(scope).absolute()),
        }
        request_path = scope.output_dir / "request.json"
        request_path.write_text(json.dumps(request))
        await self.env.run_cmd_async(["python", PROGRAM, request_path], log_path=scope.log_path)

    def outputs(self, *, scope: JobScope) -> Classifier:
        return Classifier(model_path=self._model_path(scope))

    @staticmethod
    def _model_path(scope: JobScope) -> Path:
        return scope.output_dir / "model.json"
