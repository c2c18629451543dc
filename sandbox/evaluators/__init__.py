"""Evaluators: scores of a data set or a model. This module holds the base of the family."""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from sandbox.job import JobScope


class BaseEvaluator(ABC):
    """Judge the quality or performance of data or of a model.

    An evaluator is a frozen dataclass. Its :meth:`run` annotates the shape of ``eval_obj`` that it
    takes, and returns a frozen dataclass that declares the scores and files.
    """

    EVAL_TYPES: ClassVar[tuple[str, ...]] = ()
    """Names of the ways to judge; ``eval_type`` is one of them, or ``None`` for the default one."""

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> Any:
        """Judge ``eval_obj``.

        Args:
            eval_type: One of ``EVAL_TYPES``, or ``None``.
            eval_obj: A path, or several, as the evaluator annotates it.
            scope: Output folder and log of the job.
        """

    @classmethod
    def check_request(cls, eval_type: str | None, eval_obj: Any) -> None:
        """Check the two arguments of :meth:`run`.

        Text counts as a path, so a reference to an output that does not exist yet passes.

        Raises:
            ValueError: ``eval_type`` is not among ``EVAL_TYPES``, or ``eval_obj`` does not have
                the shape that :meth:`run` annotates.
        """
        if eval_type is not None and eval_type not in cls.EVAL_TYPES:
            available = ", ".join(cls.EVAL_TYPES) or "none, leave it out"
            raise ValueError(f"eval_type: {eval_type!r}; available: {available}")
        shape = get_type_hints(cls.run).get("eval_obj", Any)
        if not _has_shape(eval_obj, shape):
            hint = " (several: map)" if shape is Path else ""
            raise ValueError(f"eval_obj: expected {_shape_name(shape)}{hint}, got {eval_obj!r}")


def _has_shape(value: Any, shape: Any) -> bool:
    """Compare a config value with an annotation made of ``Path``, ``Sequence`` and unions."""
    origin = get_origin(shape)
    if shape is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_has_shape(value, option) for option in get_args(shape))
    if origin is Sequence:
        (item_shape,) = get_args(shape)
        is_list = isinstance(value, (list, tuple)) and len(value) > 0
        return is_list and all(_has_shape(item, item_shape) for item in value)
    if shape is Path:
        return isinstance(value, (str, Path)) and str(value) != ""
    return isinstance(value, origin or shape)


def _shape_name(shape: Any) -> str:
    origin, inner = get_origin(shape), get_args(shape)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_shape_name, inner))
    if origin is Sequence:
        return "a list of paths" if inner == (Path,) else f"a list, each {_shape_name(inner[0])}"
    return "a path" if shape is Path else str(getattr(origin or shape, "__name__", shape))
