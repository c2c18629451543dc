"""Evaluators: something to judge in, numbers out. This module holds the base of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs


class BaseEvaluator(ABC):
    """Judge the quality or performance of data or of a model.

    ``OUTPUTS`` names the scores and files that :meth:`run` returns; ``LOWER_IS_BETTER`` those scores
    of which the smallest is the best.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ()
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Judge ``eval_obj``.

        Args:
            eval_type: Which of the evaluator's ways to judge; ``None`` is its usual one.
            eval_obj: What is judged: a path, or several.
            output_dir: Where details go.
        """
