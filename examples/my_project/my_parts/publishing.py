"""A hook of your own: a kind of job that the sandbox does not have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox import BaseHook, JobScope


@dataclass(frozen=True, kw_only=True)
class Release:
    """A published model.

    Args:
        model_path: Copy of the model.
        card_path: JSON with its name and score.
    """

    model_path: Path
    card_path: Path


@dataclass(frozen=True, kw_only=True)
class PublishBestModelHook(BaseHook):
    """Publish the model with the best score, with a card that states the score.

    A hook that passes its work on to a component names that argument in ``RESULTS_FROM`` instead,
    and returns the component's results.

    Args:
        model_paths: Models to choose from.
        scores: Score of each model; the highest wins.
        name: Name on the card.
    """

    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("evaluation_jobs",)

    model_paths: Sequence[Path]
    scores: Sequence[float]
    name: str

    def run(self, *, scope: JobScope) -> Release:
        best_score, best_path = max(zip(self.scores, self.model_paths, strict=True))
        model_path = scope.output_dir / best_path.name
        shutil.copyfile(best_path, model_path)
        card_path = scope.output_dir / "card.json"
        card_path.write_text(json.dumps({"name": self.name, "score": best_score}))
        scope.watch({"score": best_score})
        return Release(model_path=model_path, card_path=card_path)
