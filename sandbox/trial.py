"""Try a component whose arguments are not all known yet: what its constructor says of those that are."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from sandbox import components
from sandbox.components import nodes
from sandbox.context import references
from sandbox.job import JobSpec


def trial_problems(spec: JobSpec, where: str, allowed: Sequence[str]) -> Iterator[str]:
    """What components of a job object to before they run, as far as their arguments are known."""
    mapped = {leaf: items for leaf, items in spec.map.items() if isinstance(items, list)}
    later = {leaf.rpartition(".")[::2] for leaf in (*spec.map, spec.seed_argument) if leaf}
    found = [
        (place, node, place.removeprefix(where).lstrip(".")) for place, node in nodes(spec.config, where)
    ]
    for leaf, items in mapped.items():
        found += [(place, node, place) for place, node in nodes(items, f"{where}.map.{leaf}")]
    for place, node, here in found:
        arguments = components.arguments(node)
        pending = {name for parent, name in later if parent == here}
        pending |= {name for name, value in arguments.items() if is_pending(value)}
        inside = any(f"{parent}.{name}.".startswith(f"{here}.") for parent, name in later)
        complete = bool(here) and not pending and not inside
        yield from components.construction_problems(node, place, allowed, complete)
        if complete:
            continue
        given = {name: value for name, value in arguments.items() if name not in pending}
        objections = [*_objections(node, given, pending, place, allowed)]
        yield from objections
        for leaf, items in mapped.items() if not objections else ():
            parent, _, name = leaf.rpartition(".")
            for index, item in enumerate(items if parent == here else []):
                if not is_pending(item):
                    spot = f"{where}.map.{leaf}.{index}"
                    yield from _objections(node, {**given, name: item}, pending - {name}, spot, allowed)


def is_pending(value: Any) -> bool:
    """Whether a value is known only later, or is a component, which is tried by itself."""
    return any(references(value)) or any(nodes(value, "")) or "${oc.env:" in str(value)


def _objections(
    node: Mapping[str, Any], given: Mapping[str, Any], pending: Set[str], where: str, allowed: Sequence[str]
) -> Iterator[str]:
    """What a constructor objects to in what is ``given``, whatever its other arguments will be.

    It is called with several sets of placeholders. Only a ``ValueError`` that all of them raise in the
    same words counts, and only if it names a given argument and none that a placeholder stood for.
    """
    cls = components.locate(node["_target_"], allowed)
    hints = components.argument_types(cls)
    known = {name: components.as_annotated(value, hints[name]) for name, value in given.items()}
    said = {
        _error(cls, {**known, **{name: placeholder(hints[name], size) for name in pending}})
        for size in (1, 2, 3)
    }
    text = said.pop() if len(said) == 1 else ""
    if any(_names(text, name) for name in given) and not any(_names(text, name) for name in pending):
        yield f"{where}: {text}"


def placeholder(annotation: Any, size: int) -> Any:
    """A value that fits ``annotation``; another one for another ``size``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return placeholder(next(option for option in inner if option is not types.NoneType), size)
    if origin is Literal:
        return inner[size % len(inner)]
    kind = origin or annotation
    if kind in (int, float, bool):
        return kind(size)
    if kind in (str, Path):
        return kind(f"placeholder_{size}")
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return {}
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        return [placeholder(inner[0] if inner else str, size + index) for index in range(size)]
    return None


def _error(cls: type, arguments: Mapping[str, Any]) -> str:
    try:
        cls(**arguments)
    except ValueError as error:
        return str(error).strip()
    except Exception:  # a placeholder may be anything but what it needs
        return ""
    return ""


def _names(text: str, argument: str) -> bool:
    return re.search(rf"\b{re.escape(argument)}\b", text) is not None
