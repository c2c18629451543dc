"""Evaluators: scores of a data set or a model. This module holds the base of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any, ClassVar

from sandbox.job import JobScope


class BaseEvaluator(ABC):
    """Judge the quality or performance of data or of a model.

    An evaluator is a frozen dataclass. Its :meth:`run` annotates the ``eval_type`` and the shape of
    ``eval_obj`` that it takes, which the plan checks, and returns a frozen dataclass that declares
    the scores and files.
    """

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, eval_type: Any, eval_obj: Any, *, scope: JobScope) -> Any:
        """Judge ``eval_obj``.

        Args:
            eval_type: Name of one of the evaluator's ways to judge; ``None`` is its usual one.
            eval_obj: A path, several, or scores, as the evaluator annotates it.
            scope: Output folder and log of the job.

        Raises:
            SampleError: A data pool is empty, or a sample cannot be read.
            ProcessError: A program that the evaluator runs has failed, such as for a wrong model.
        """


def check_package(name: str, extra: str) -> None:
    """Raise ValueError if a package is missing that ``sandbox[<extra>]`` installs."""
    if find_spec(name) is None:
        raise ValueError(f"{name} is not installed; pip install 'sandbox[{extra}]'")
