"""Fit plain config values to the annotations of a component's arguments: check them, convert them.

Checking is strict: ``"3"`` is not 3, and ``true`` is no number. Two conversions exist: a text
becomes a ``Path``, and an integer a float, where the annotation asks for one.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen

from sandbox.components.problem import Problem
from sandbox.components.signature import is_secret
from sandbox.components.tree import is_node, joined
from sandbox.job import NoUrlPassword
from sandbox.system.files import absence, special_text

_ENV_REFERENCE = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*(,\s*null\s*)?\}")


class Pending:
    """A value that is known only later: a reference to an output."""


def value_problems(value: Any, annotation: Any, where: str) -> Iterator[Problem]:
    """Yield what is wrong with one plain value for an argument with this annotation.

    Values that are known later and components inside the value are passed over.
    """
    if is_secret(annotation):
        yield from secret_problems(value, where)
        return
    if isinstance(value, Pending) or is_node(value):
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = list(value_problems(value, inner[0], where))
        if found and found[0] == _wrong_type(value, inner[0], where):
            found = [_wrong_type(value, annotation, where)]  # with its constraints in words
        yield from found or _constraint_problems(value, inner[1:], where)
    elif origin in (Union, types.UnionType):
        yield from _union_problems(value, annotation, where)
    elif annotation is Path and isinstance(value, (str, Path)) and str(value):
        text = absence(Path(value))
        if text:
            yield Problem(where, "missing_path", text, f"working directory: {Path.cwd()}")
        elif text := special_text(value, Path(value).stat().st_mode):
            yield Problem(where, "constraint", text)
    elif not _is_of_kind(value, annotation):
        yield _wrong_type(value, annotation, where)
    else:
        yield from _item_problems(value, annotation, where)


def secret_problems(value: Any, where: str) -> Iterator[Problem]:
    """Yield what is wrong with the value of a secret argument: only ``${oc.env:NAME}`` is right."""
    if value is None:
        return
    match = _ENV_REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        text = "a secret may only be given as ${oc.env:NAME}, never as a literal"
        yield Problem(where, "secret", text)
    elif match[1] not in os.environ and not match[2]:
        yield Problem(where, "variable", f"the environment variable {match[1]} is not set")


def secret_value(value: str | None) -> str | None:
    """Return the secret that ``${oc.env:NAME}`` or ``${oc.env:NAME,null}`` names."""
    match = _ENV_REFERENCE.fullmatch(value) if value is not None else None
    return os.environ.get(match[1]) if match else None


def converted(value: Any, annotation: Any) -> Any:
    """Return ``value`` with texts as paths and integers as floats where the annotation asks for it.

    Where the annotation allows plain text too, a text becomes a path only if the path exists.
    """
    if isinstance(value, Pending) or is_node(value):
        return value
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return converted(value, inner[0])
    if origin in (Union, types.UnionType):
        return converted(value, _option_for(value, inner))
    if annotation is Path and isinstance(value, str):
        return Path(value)
    if annotation is float and type(value) is int:
        return float(value)
    if annotation is str and isinstance(value, Path):  # an output of an earlier job
        return str(value)
    if isinstance(value, list):
        options = item_annotations(annotation)
        return [
            converted(item, options[min(index, len(options) - 1)])
            for index, item in enumerate(value)
        ]
    if isinstance(value, Mapping):
        return {
            key: converted(child, _value_annotation(annotation)) for key, child in value.items()
        }
    return value


def component_annotations(annotation: Any) -> Iterator[Any]:
    """Yield the annotations that a value, or an item inside it, may have, without mapping keys."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from component_annotations(inner[0])
        return
    if origin is Literal or not inner:
        yield annotation
        return
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        inner = inner[1:]
    for child in inner:
        yield from component_annotations(child)


def is_open(annotation: Any) -> bool:
    """Return True for an annotation that is too dynamic to check."""
    is_protocol = getattr(annotation, "_is_protocol", False)
    return annotation is Any or not inspect.isclass(annotation) or is_protocol


def describe(annotation: Any) -> str:
    """Return an annotation as people write it, constraints in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words = [_in_words(constraint) for constraint in _constraints(inner[1:])]
        return " ".join([describe(inner[0]), *filter(None, words)])
    if origin in (Union, types.UnionType):
        return " | ".join(map(describe, inner))
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if annotation is types.NoneType:
        return "None"
    if origin is not None:
        name = getattr(origin, "__name__", str(origin))
        return f"{name}[{', '.join(describe(item) for item in inner)}]"
    text = annotation.__name__ if inspect.isclass(annotation) else str(annotation)
    return re.sub(r"\b(typing|collections\.abc|pathlib)\.", "", text)


def _wrong_type(value: Any, annotation: Any, where: str) -> Problem:
    hint = ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and str in (annotation, *get_args(annotation)):
        hint = "quote a text that looks like a number: '3.10'"
    text = f"given {shortened(value)}, expected {describe(annotation)}"
    return Problem(where, "wrong_type", text, hint)


def shortened(value: Any, limit: int = 200) -> str:
    """Return ``repr(value)``, cut in the middle where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


def _union_problems(value: Any, annotation: Any, where: str) -> Iterator[Problem]:
    """Yield the problems of the option that fits best; none where one fits."""
    attempts = [list(value_problems(value, option, where)) for option in get_args(annotation)]
    if not all(attempts):
        return
    # a wrong item or number inside the right kind of value says more than "expected A | B"
    close = [found for found in attempts if found[0].where != where or _is_close(found[0])]
    yield from close[0] if close else [_wrong_type(value, annotation, where)]


def _is_close(problem: Problem) -> bool:
    return problem.kind in ("constraint", "missing_path", "secret")


def _is_of_kind(value: Any, annotation: Any) -> bool:
    """Return True if a value is of the annotated kind; its items are not looked at."""
    if annotation is None or annotation is types.NoneType:
        return value is None
    if get_origin(annotation) is Literal:
        return any(
            value == option and type(value) is type(option) for option in get_args(annotation)
        )
    kind = get_origin(annotation) or annotation
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, (str, Path))
    if is_open(kind):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if issubclass(kind, Sequence):
        return isinstance(value, (list, tuple))
    return isinstance(value, kind)


def _item_problems(value: Any, annotation: Any, where: str) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        option = _value_annotation(annotation)
        for key, child in value.items():
            yield from value_problems(child, option, joined(where, key))
    elif isinstance(value, (list, tuple)):
        options = item_annotations(annotation)
        if _length(annotation) not in (None, len(value)):
            text = f"given {len(value)} items, expected {_length(annotation)}"
            yield Problem(where, "constraint", text)
            return
        for index, child in enumerate(value):
            option = options[min(index, len(options) - 1)]
            yield from value_problems(child, option, joined(where, index))


def item_annotations(annotation: Any) -> tuple[Any, ...]:
    """Return the annotations of a sequence's items; the last one holds for all further items."""
    inner = tuple(item for item in get_args(annotation) if item is not Ellipsis)
    return inner or (Any,)


def _length(annotation: Any) -> int | None:
    """Return the length that ``tuple[int, int]`` prescribes; ``None`` for any other sequence."""
    inner = get_args(annotation)
    is_fixed = get_origin(annotation) is tuple and Ellipsis not in inner
    return len(inner) if is_fixed else None


def _value_annotation(annotation: Any) -> Any:
    inner = get_args(annotation)
    return inner[1] if len(inner) == 2 else Any


def _option_for(value: Any, options: Sequence[Any]) -> Any:
    """Return the option of a union that a value is converted to."""
    if isinstance(value, str) and Path in options and not absence(Path(value)):
        return Path
    attempts = {
        index: list(value_problems(value, option, "")) for index, option in enumerate(options)
    }
    for index, found in attempts.items():
        if not found:
            return options[index]
    for index, found in attempts.items():
        if _is_close(found[0]):  # a file that an earlier job has still to make
            return options[index]
    return Any


def _constraints(metadata: Sequence[Any]) -> Iterator[BaseMetadata]:
    for item in metadata:
        if isinstance(item, GroupedMetadata):
            yield from _constraints(list(item))
        elif isinstance(item, BaseMetadata):
            yield item


def _constraint_problems(value: Any, metadata: Sequence[Any], where: str) -> Iterator[Problem]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem(where, "constraint", f"given {value}, expected a finite number")
        return
    if NoUrlPassword() in metadata and not NoUrlPassword().is_met_by(str(value)):
        text = "a URL holds a name or password; secrets may only be given as ${oc.env:NAME}"
        yield Problem(where, "secret", text)
    for constraint in _constraints(metadata):
        if value is not None and not _is_met(value, constraint):
            text = f"given {shortened(value)}, expected {_in_words(constraint)}"
            yield Problem(where, "constraint", text)


def _is_met(value: Any, constraint: BaseMetadata) -> bool:
    match constraint:
        case Ge(ge=bound):
            return bool(value >= bound)
        case Gt(gt=bound):
            return bool(value > bound)
        case Le(le=bound):
            return bool(value <= bound)
        case Lt(lt=bound):
            return bool(value < bound)
        case MinLen(min_length=length):
            return len(value) >= length
        case MaxLen(max_length=length):
            return len(value) <= length
    return True


def _in_words(constraint: BaseMetadata) -> str:
    match constraint:
        case Ge(ge=bound):
            return f"at least {bound}"
        case Gt(gt=bound):
            return f"above {bound}"
        case Le(le=bound):
            return f"at most {bound}"
        case Lt(lt=bound):
            return f"below {bound}"
        case MinLen(min_length=1):
            return "not empty"
        case MinLen(min_length=length):
            return f"with at least {length} items"
        case MaxLen(max_length=length):
            return f"with at most {length} items"
    return ""
