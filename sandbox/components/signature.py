"""Arguments, rules and results that a component's class declares."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from sandbox.job import NoUrlPassword, Secret

MISSING: Any = inspect.Parameter.empty
"""Default of an argument that has none."""


@dataclass(frozen=True)
class Argument:
    """One argument of a component.

    Args:
        name: Its name.
        annotation: Its resolved annotation, constraints included.
        default: Its default; ``MISSING`` where it must be given.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def is_required(self) -> bool:
        """True if it has no default."""
        return self.default is MISSING


@cache
def arguments_of(cls: type) -> Mapping[str, Argument]:
    """Return the arguments of a component's class by name."""
    hints = _hints(cls)
    factories = {}
    if dataclasses.is_dataclass(cls):
        factories = {
            field.name: field.default_factory
            for field in dataclasses.fields(cls)
            if field.default_factory is not dataclasses.MISSING
        }
    found = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        default = factories[name]() if name in factories else parameter.default
        found[name] = Argument(name, hints.get(name, Any), default)
    return found


@cache
def rules_of(cls: type) -> Mapping[Callable[..., None], tuple[str, ...]]:
    """Return the rules of a class and its bases, with the names of the arguments that each reads.

    See :func:`sandbox.job.rule`.
    """
    found: dict[str, Callable[..., None]] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, staticmethod) and getattr(member.__func__, "is_rule", False):
                found[name] = member.__func__
    return {function: tuple(inspect.signature(function).parameters) for function in found.values()}


def is_secret(annotation: Any) -> bool:
    """Return True for the annotation of an argument that may not be given as a literal."""
    return annotation is Secret or any(map(is_secret, get_args(annotation)))


@cache
def secret_arguments(cls: type) -> frozenset[str]:
    """Return the names of the arguments that are declared secret."""
    arguments = arguments_of(cls).values()
    return frozenset(argument.name for argument in arguments if is_secret(argument.annotation))


@cache
def guarded_arguments(cls: type) -> tuple[Argument, ...]:
    """Return the arguments whose values can hold a secret by mistake, in order of their names.

    They are declared secret, or may hold a URL.
    """
    arguments = sorted(arguments_of(cls).values(), key=lambda argument: argument.name)
    return tuple(argument for argument in arguments if _is_guarded(argument.annotation))


def _is_guarded(annotation: Any) -> bool:
    if annotation is Secret or isinstance(annotation, NoUrlPassword):
        return True
    return any(map(_is_guarded, get_args(annotation)))


@cache
def results_of(cls: type) -> type | None:
    """Return the dataclass of a component's results, ``None`` where it declares none.

    It is the return annotation of ``outputs`` for a component that has this method (a program's
    results are collected when it has ended), else of ``run``.
    """
    annotation = _return_annotation(cls)
    is_results = inspect.isclass(annotation) and dataclasses.is_dataclass(annotation)
    return annotation if is_results else None


@cache
def run_annotations(cls: type) -> Mapping[str, Any]:
    """Return the annotations of the parameters of a component's ``run``."""
    run = getattr(cls, "run", None)
    return get_type_hints(run, include_extras=True) if inspect.isfunction(run) else {}


def declares_results(cls: type) -> bool:
    """Return True if a component names the dataclass of its results, or ``None`` for no results."""
    return results_of(cls) is not None or _return_annotation(cls) is type(None)


def _return_annotation(cls: type) -> Any:
    method = getattr(cls, "outputs", None) or getattr(cls, "run", None)
    return get_type_hints(method).get("return", Any) if inspect.isfunction(method) else Any


def _hints(cls: type) -> Mapping[str, Any]:
    """Return the annotations of the constructor's arguments."""
    if dataclasses.is_dataclass(cls):
        # of the class, not of its __init__: inherited fields are resolved in their own module
        return get_type_hints(cls, include_extras=True)
    return get_type_hints(inspect.getattr_static(cls, "__init__"), include_extras=True)
