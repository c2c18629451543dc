"""Results of a job: the dataclass that its component returns, as recorded outputs."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from sandbox.components.allowed import locate
from sandbox.components.problem import Problem
from sandbox.components.signature import results_of
from sandbox.components.tree import Node, is_node
from sandbox.components.values import value_problems
from sandbox.job import OutputKind, Outputs


class WrongResults(RuntimeError):
    """A hook returned something else than the results that are declared."""


def producer(hook: Node, allowed: Sequence[str]) -> type | None:
    """Return the class that makes a job's results: the hook's, or that of its component.

    ``RESULTS_FROM`` of a hook names the argument with the component. ``None``: it is not given.

    Raises:
        TargetError: A class is not allowed or not there.
    """
    cls = locate(hook["_target_"], allowed)
    argument = getattr(cls, "RESULTS_FROM", "")
    if not argument:
        return cls
    component = hook.get(argument)
    if component is None or not is_node(component):
        return None
    return locate(component["_target_"], allowed)


def results_class(hook: Node, allowed: Sequence[str]) -> type | None:
    """Return the dataclass of a job's results; ``None`` where nothing declares any.

    Raises:
        TargetError: A class is not allowed or not there.
    """
    cls = producer(hook, allowed)
    return None if cls is None else results_of(cls)


def result_names(cls: type | None) -> tuple[str, ...]:
    """Return the names of the outputs of a dataclass of results."""
    return () if cls is None else tuple(field.name for field in dataclasses.fields(cls))


def lower_is_better(cls: type | None) -> tuple[str, ...]:
    """Return the names of the scores of which the smallest is the best."""
    fields = () if cls is None else dataclasses.fields(cls)
    return tuple(field.name for field in fields if field.metadata.get("lower_is_better"))


def output_kinds(cls: type | None) -> dict[str, OutputKind]:
    """Return the kinds of a results class's outputs; those that may be of several are left out."""
    hints = get_type_hints(cls) if cls else {}
    found = {name: _kind(hints[name]) for name in result_names(cls)}
    return {name: kind for name, kind in found.items() if kind is not None}


def _kind(annotation: Any) -> OutputKind | None:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = {_kind(option) for option in inner if option is not types.NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    kind = origin or annotation
    if kind in (Any, object) or not inspect.isclass(kind):
        return None
    if issubclass(kind, Mapping):
        values = _kind(inner[1]) if len(inner) == 2 else None
        return "numbers" if values == "number" else values
    return "number" if issubclass(kind, (int, float)) else "other"


def result_problems(outputs: Outputs, declared: type | None) -> list[Problem]:
    """Return recorded results that do not fit the annotations of their declared class."""
    hints = get_type_hints(declared, include_extras=True) if declared else {}
    found: list[Problem] = []
    for name, value in outputs.items():
        found += value_problems(value, hints[name], name)
    return found


def as_outputs(results: Any, declared: type | None) -> Outputs:
    """Return the outputs of a job by name from what its hook returned.

    Raises:
        WrongResults: They are not of the declared class.
    """
    if declared is None and results is None:
        return {}
    if declared is None or not isinstance(results, declared):
        expected = declared.__name__ if declared else "a declared dataclass of results"
        raise WrongResults(f"returned {type(results).__name__}, expected {expected}")
    return {name: getattr(results, name) for name in result_names(declared)}
