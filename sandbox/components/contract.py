"""Check that a class keeps the contract of components, before it is used.

A component is a frozen dataclass with keyword-only arguments and a ``run`` that takes ``scope``;
its results are a frozen dataclass. Everything else in this room relies on that.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from functools import cache

from sandbox.components.signature import arguments_of, results_of, rules_of, run_annotations
from sandbox.system.wording import did_you_mean


@cache
def contract_breaches(cls: type) -> tuple[str, ...]:
    """Return in which ways a class breaks the contract; empty for a component in order."""
    try:
        arguments_of(cls)
        run_annotations(cls)
        results_of(cls)
    except (NameError, TypeError, AttributeError) as error:
        return (f"an annotation cannot be read: {error}",)
    return tuple(_breaches(cls))


def _breaches(cls: type) -> Iterator[str]:
    abstract = sorted(getattr(cls, "__abstractmethods__", ()))
    if abstract:
        yield f"it lacks the methods {', '.join(abstract)}"
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in parameters):
        yield "its arguments are not keyword-only: decorate it with @dataclass(kw_only=True, …)"
    elif parameters and not _is_frozen(cls):
        yield "it is no frozen dataclass: decorate it with @dataclass(frozen=True, …)"
    elif dataclasses.is_dataclass(cls) and not _has_generated_init(cls):
        yield "it has an __init__ of its own; a dataclass makes one"
    yield from _method_breaches(cls)
    arguments = arguments_of(cls)
    for rule, names in rules_of(cls).items():
        for name in names:
            if name not in arguments:
                hint = did_you_mean(name, arguments)
                yield f"rule {rule.__name__} reads an argument {name!r} that it has not; {hint}"
    source = getattr(cls, "RESULTS_FROM", "")
    if source and source not in arguments:
        hint = did_you_mean(source, arguments)
        yield f"RESULTS_FROM names {source!r}, which is no argument; {hint}"
    results = results_of(cls)
    if results is not None and not _is_frozen(results):
        yield f"its results, {results.__name__}, are no frozen dataclass"


def _method_breaches(cls: type) -> Iterator[str]:
    run = getattr(cls, "run", None)
    if inspect.isfunction(run) and "scope" not in inspect.signature(run).parameters:
        yield "its `run` does not take the keyword `scope`"
    program = getattr(cls, "_run", None)
    if inspect.isfunction(program) and not inspect.iscoroutinefunction(program):
        yield "its `_run` is not `async def`"
    check = inspect.getattr_static(cls, "check", None)
    if inspect.isfunction(check) and not inspect.signature(check).parameters:
        yield "its `check` takes neither `self` nor is it a @staticmethod"
    reduce = inspect.getattr_static(cls, "fingerprint_arguments", None)
    if inspect.isfunction(reduce):
        yield "its `fingerprint_arguments` is not a @staticmethod"


def _is_frozen(cls: type) -> bool:
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _has_generated_init(cls: type) -> bool:
    code = getattr(inspect.getattr_static(cls, "__init__"), "__code__", None)
    return code is None or code.co_filename == "<string>"
