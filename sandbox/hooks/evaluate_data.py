"""Evaluate data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.job import JobScope, Outputs


@dataclass(frozen=True)
class EvaluateDataHook:
    """Evaluate a data set with ``evaluator``; its scores are watched.

    Args:
        evaluator: Judges.
        eval_obj: What is judged: a path, or several; ``None`` where the evaluator needs none.
        eval_type: Which of the evaluator's ways to judge; ``None`` is its usual one.
    """

    evaluator: BaseEvaluator
    eval_obj: Path | Sequence[Path | Sequence[Path]] | Mapping[str, Path] | None
    eval_type: str | None = None
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("evaluation_jobs",)

    def run(self, scope: JobScope) -> Outputs:
        outputs = self.evaluator.run(self.eval_type, self.eval_obj, output_dir=scope.output_dir)
        scope.watch(outputs)
        return outputs
