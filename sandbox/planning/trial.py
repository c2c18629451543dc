"""Try a component whose arguments are not all known yet: what its constructor says of those that are."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from sandbox.components.allowed import TargetError, locate
from sandbox.components.build import construction_problems
from sandbox.components.checks import argument_types, arguments, as_annotated, nodes
from sandbox.job import JobSpec
from sandbox.planning.references import references


def trial_problems(spec: JobSpec, where: str, allowed: Sequence[str]) -> Iterator[str]:
    """What components of a job object to before they run, as far as their arguments are known."""
    later = [leaf for leaf in (*spec.map, spec.seed_argument) if leaf]
    for place, node in nodes(spec.config, where):
        here = place.removeprefix(where).lstrip(".")
        if any(f"{here}.".startswith(f"{leaf}.") for leaf in spec.map):
            continue  # replaced
        waits = not here or any(f"{leaf}.".startswith(f"{here}.") for leaf in later)
        complete = not waits and not any(references(dict(node)))
        yield from construction_problems(node, place, allowed, complete)
        if complete:
            continue
        own = {
            name: leaf
            for leaf in later
            for parent, _, name in [leaf.rpartition(".")]
            if parent == here
        }
        found = [*_objections(node, {}, {*own}, place, allowed)]
        yield from found
        for name, leaf in own.items() if not found else ():
            items = spec.map.get(leaf)
            for index, item in enumerate(items if isinstance(items, list) else []):
                spot = f"{where}.map.{leaf}.{index}"
                yield from _objections(node, {name: item}, {*own} - {name}, spot, allowed)
    for leaf, items in spec.map.items():
        for place, node in nodes(items, f"{where}.map.{leaf}"):
            complete = not any(references(dict(node)))
            yield from construction_problems(node, place, allowed, complete)
            yield from _objections(node, {}, set(), place, allowed) if not complete else ()


def further_problems(
    spec: JobSpec, where: str, allowed: Sequence[str], problems: Sequence[str]
) -> Iterator[str]:
    """What constructors object to besides ``problems``, in the arguments that these do not name."""
    later = {leaf for leaf in (*spec.map, spec.seed_argument) if leaf}
    for place, node in nodes(spec.config, where):
        try:
            known = argument_types(locate(node["_target_"], allowed))
        except TargetError:  # reported itself
            continue
        wrong = {
            name for name in known if any(text.startswith(f"{place}.{name}") for text in problems)
        }
        wrong |= {name for name in known if f"{place}.{name}".removeprefix(f"{where}.") in later}
        taken = {name: value for name, value in node.items() if name in known or name == "_target_"}
        yield from _objections(taken, {}, wrong, place, allowed)


def _is_pending(value: Any) -> bool:
    """Whether a value is known only later, or is a component, which is tried by itself."""
    return any(references(value)) or any(nodes(value, "")) or "${oc.env:" in str(value)


def _objections(
    node: Mapping[str, Any],
    more: Mapping[str, Any],
    later: Set[str],
    where: str,
    allowed: Sequence[str],
) -> Iterator[str]:
    """What a constructor objects to in the arguments that are known, whatever the others will be.

    It is called with several sets of placeholders. Only a ``ValueError`` that all of them raise in the
    same words counts, and only if it names a given argument and none that a placeholder stood for.
    """
    cls = locate(node["_target_"], allowed)
    hints = argument_types(cls)
    given_arguments = {**arguments(node), **more}
    pending = {*later, *(name for name, value in given_arguments.items() if _is_pending(value))}
    given = given_arguments.keys() - pending
    known = {name: as_annotated(given_arguments[name], hints[name]) for name in given}
    said = {
        _error(cls, {**known, **{name: placeholder(hints[name], size) for name in pending}})
        for size in (1, 2, 3)
    }
    text = said.pop() if len(said) == 1 else ""
    if any(_names(text, name) for name in given) and not any(
        _names(text, name) for name in pending
    ):
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
