"""Components named by ``_target_``: which are allowed, what they take, and the one place that builds them."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sandbox.components.allowed import TargetError, locate
from sandbox.job import Secret

_ENV_REFERENCE = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*(,\s*null\s*)?\}")
SECRET_RULE = "a secret may only be given as ${oc.env:NAME}, never as a literal"
_ANY_REFERENCE = re.compile(r"\$\{(output|previous):")


@cache
def argument_types(cls: type) -> Mapping[str, Any]:
    """Annotated type of each constructor argument."""
    hints = get_type_hints(getattr(cls, "__init__"))  # noqa: B009  mypy: a class's own
    return {name: hints.get(name, Any) for name in inspect.signature(cls).parameters}


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """What a component node gives to its constructor."""
    return {key: value for key, value in node.items() if key != "_target_"}


def with_defaults(node: Any, allowed: Sequence[str]) -> Any:
    """A copy of ``node`` in which every component also has the arguments that it leaves to their defaults."""
    if isinstance(node, (list, tuple)):
        return [with_defaults(item, allowed) for item in node]
    if not isinstance(node, Mapping):
        return node
    defaults = {}
    if "_target_" in node:
        parameters = inspect.signature(locate(node["_target_"], allowed)).parameters.values()
        defaults = {
            p.name: with_defaults(p.default, allowed)
            for p in parameters
            if p.default is not p.empty
        }
    return defaults | {key: with_defaults(value, allowed) for key, value in node.items()}


def nodes(value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every component node inside ``value``, outermost first, with its dotted place."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield where, value
        for key, child in value.items():
            yield from nodes(child, f"{where}.{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from nodes(child, f"{where}.{index}")


def problems(
    node: Mapping[str, Any], where: str, allowed: Sequence[str], later: Sequence[str] = ()
) -> list[str]:
    """What is wrong with one component node: target, argument names, missing values, types, secrets, files.

    Args:
        node: The node, resolved but for references to outputs.
        where: Its dotted place in the config.
        allowed: Patterns of allowed targets.
        later: Arguments that are given elsewhere (``map``, ``seeds``).
    """
    try:
        cls = locate(node["_target_"], allowed)
    except TargetError as error:
        return [f"{where}: {error}"]
    given = arguments(node)
    parameters = inspect.signature(cls).parameters
    found = []
    for name in given:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            takes = f"it takes: {', '.join(parameters)}"
            found.append(
                f"{where}.{name}: {cls.__name__} takes no argument {name!r}{hint}; {takes}"
            )
    for name, parameter in parameters.items():
        absent = (
            given.get(name, "???") == "???"
            if name in given
            else parameter.default is parameter.empty
        )
        if absent and name not in later:
            found.append(f"{where}.{name}: must be given ({_describe(argument_types(cls)[name])})")
        elif name in given and name not in later and not absent:
            found += value_problems(given[name], argument_types(cls)[name], f"{where}.{name}")
            found += kind_problems(
                given[name], argument_types(cls)[name], f"{where}.{name}", allowed
            )
    return found


def value_problems(value: Any, annotation: Any, where: str) -> list[str]:
    """What is wrong with one value for an argument of that annotation: type, secret, missing file."""
    if annotation is Secret or Secret in get_args(annotation):
        return _secret_problems(value, where)
    if _has_reference(value) or _is_node(value):
        return []
    if not _fits(value, annotation):
        return [
            f"{where}: given {value!r}, expected {_describe(annotation)}{_quotes(value, annotation)}"
        ]
    return [
        f"{where}: {path} does not exist (working directory: {Path.cwd()})"
        for path in _paths(as_annotated(value, annotation))
        if not path.exists()
    ]


def _quotes(value: Any, annotation: Any) -> str:
    """A hint where YAML reads a text such as 3.10 as a number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    takes_text = str in (annotation, *get_args(annotation))
    return "; quote a text that looks like a number: '3.10'" if is_number and takes_text else ""


def kind_problems(value: Any, annotation: Any, where: str, allowed: Sequence[str]) -> list[str]:
    """What is wrong with a component given for an argument of that annotation: it is of another family."""
    if not isinstance(value, Mapping) or "_target_" not in value:
        return []
    try:
        cls = locate(value["_target_"], allowed)
    except TargetError:  # reported itself
        return []
    if any(_is_open(leaf) or issubclass(cls, leaf) for leaf in _leaf_types(annotation)):
        return []
    return [f"{where}: given {value['_target_']}, expected {_describe(annotation)}"]


def _is_open(annotation: Any) -> bool:
    """Whether it cannot be told what an annotation takes."""
    return (
        annotation is Any
        or not inspect.isclass(annotation)
        or getattr(annotation, "_is_protocol", False)
    )


def _secret_problems(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    match = _ENV_REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return [f"{where}: {SECRET_RULE}"]
    if match[1] not in os.environ and not match[2]:
        return [f"{where}: the environment variable {match[1]} is not set"]
    return []


def literal_secrets(config: Any, where: str, allowed: Sequence[str]) -> Iterator[str]:
    """What is wrong with the secrets of all components inside ``config``, and with nothing else."""
    for place, node in nodes(config, where):
        try:
            names = secret_arguments(locate(node["_target_"], allowed))
        except TargetError:
            continue
        for name in sorted(names & set(node)):
            yield from _secret_problems(node[name], f"{place}.{name}")


def secret_arguments(cls: type) -> set[str]:
    """Names of the constructor arguments that are declared secret."""
    return {
        name
        for name, hint in argument_types(cls).items()
        if hint is Secret or Secret in get_args(hint)
    }


def all_found(config: Any, allowed: Sequence[str]) -> bool:
    """Whether every component inside ``config`` has a class, so that its outputs are known."""
    try:
        for _, node in nodes(config, ""):
            locate(node["_target_"], allowed)
    except TargetError:
        return False
    return True


def declared_outputs(config: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """Outputs that a hook's class and its components' classes declare; a plain value declares none."""
    classes = [locate(node["_target_"], allowed) for _, node in nodes(config, "")]
    return tuple(dict.fromkeys(name for cls in classes for name in getattr(cls, "OUTPUTS", ())))


def _is_node(value: Any) -> bool:
    return any(True for _ in nodes(value, ""))


def _has_reference(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_reference, value.values()))
    if isinstance(value, list):
        return any(map(_has_reference, value))
    return isinstance(value, str) and _ANY_REFERENCE.search(value) is not None


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _paths(child)
    elif isinstance(value, list):
        for child in value:
            yield from _paths(child)


def _leaf_types(annotation: Any) -> Iterator[Any]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if not inner or origin is Literal:
        yield annotation
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        inner = inner[1:]  # keys are no values
    for child in inner:
        yield from _leaf_types(child)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a plain config value can be what ``annotation`` says; ``True`` where that is unknown."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if annotation is None or annotation is types.NoneType:
        return value is None
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is Path:
        return isinstance(value, str) and bool(value)
    if annotation in (str, bool):
        return isinstance(value, annotation)
    container = origin or annotation
    if _is_open(container):
        return True
    if issubclass(container, Mapping):
        return isinstance(value, Mapping) and (
            not inner or all(_fits(v, inner[1]) for v in value.values())
        )
    if issubclass(container, (Sequence, tuple)):
        options = [option for option in inner if option is not Ellipsis]
        return isinstance(value, list) and all(
            any(_fits(v, o) for o in options or [Any]) for v in value
        )
    return isinstance(value, container)


def _describe(annotation: Any) -> str:
    text = (
        annotation.__name__
        if inspect.isclass(annotation) and not get_args(annotation)
        else str(annotation)
    )
    return re.sub(r"\b(typing|collections\.abc|pathlib)\.", "", text)


def as_annotated(value: Any, annotation: Any) -> Any:
    """``value`` with strings turned into paths where ``annotation`` says ``Path``.

    Where the annotation allows plain strings too, a string becomes a path only if it exists.
    """
    leaves = set(_leaf_types(annotation))
    if Path not in leaves:
        return value
    strings_too = str in leaves or Any in leaves

    def leaf(item: Any) -> Any:
        if isinstance(item, list):
            return [leaf(child) for child in item]
        if isinstance(item, Mapping):
            return {key: leaf(child) for key, child in item.items()}
        if isinstance(item, str) and not (strings_too and not Path(item).exists()):
            return Path(item)
        return item

    return leaf(value)
