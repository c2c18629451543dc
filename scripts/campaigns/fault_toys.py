"""Toy components of the campaign ``faults``: data, a training, scores; and a door for trouble.

Every run of one leaves a line ``<job>/<fingerprint>`` in the file that ``FAULTS_LEDGER`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope

NUM_STEPS = 5

trouble: dict[str, Callable[[JobScope], None]] = {}
"""Called by a fault inside the run of a job, by its name."""


def begin(scope: JobScope) -> None:
    """Note that a component runs; make the trouble that is wanted now."""
    store = Path.cwd() / "outputs" / "store"
    job, fingerprint = scope.output_dir.relative_to(store).parts[:2]
    with Path(os.environ["FAULTS_LEDGER"]).open("a") as ledger:
        ledger.write(f"{job}/{fingerprint}\n")
    if scope.name in trouble:
        trouble[scope.name](scope)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Rows(BaseDataExecutor):
    """Make a data set."""

    num_rows: int = 3

    def run(self, *, scope: JobScope) -> File:
        begin(scope)
        path = scope.output_dir / "data.jsonl"
        path.write_text("".join(f'{{"text": "{row}"}}\n' for row in range(self.num_rows)))
        return File(path=path)


@dataclass(frozen=True, kw_only=True)
class Training(BaseDataExecutor):
    """Report a loss for each step."""

    dataset_path: Path

    def run(self, *, scope: JobScope) -> File:
        begin(scope)
        num_rows = len(self.dataset_path.read_text().splitlines())
        for step in range(NUM_STEPS):
            scope.watch({"loss": 1 / (step + 1)}, step=step)
        path = scope.output_dir / "model.json"
        path.write_text(json.dumps(num_rows))
        return File(path=path)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A score."""

    value: float


@dataclass(frozen=True, kw_only=True)
class Score(BaseEvaluator):
    """Score a model."""

    factor: float = 1.0

    def run(self, eval_type: str | None, eval_obj: Path, *, scope: JobScope) -> Number:
        begin(scope)
        return Number(value=self.factor * json.loads(Path(eval_obj).read_text()))
