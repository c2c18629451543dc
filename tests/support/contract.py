"""Check, build and run components as a plan does, for tests of single components."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Interval, MinLen

from sandbox.job import JobScope, Secret


class Problem(NamedTuple):
    """One problem of one argument."""

    where: str
    kind: str
    text: str
    hint: str = ""


def problems_of(cls: type, **arguments: Any) -> list[Problem]:
    """Problems of a component's arguments, given as plain config values."""
    hints = get_type_hints(cls, include_extras=True)
    parameters = inspect.signature(cls).parameters
    found = [
        Problem(name, "unknown_argument", name) for name in arguments if name not in parameters
    ]
    for name, parameter in parameters.items():
        if name in arguments:
            found += _problems(arguments[name], hints[name], name)
        elif parameter.default is parameter.empty:
            found.append(Problem(name, "missing_argument", name))
    if not found:
        found += _broken_rules(cls, arguments)
    return found


def build(cls: type, **arguments: Any) -> Any:
    """Build a component from plain config values."""
    hints = get_type_hints(cls)
    return cls(
        **{
            name: Path(value) if "Path" in str(hints[name]) and value is not None else value
            for name, value in arguments.items()
        }
    )


def scope(folder: Path) -> JobScope:
    """Scope of a job whose outputs and log lie in ``folder``; its metrics go nowhere."""
    return JobScope("job", folder, folder / "log", lambda metrics, step=None: None)


def _broken_rules(cls: type, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    for name in dir(cls):
        rule = getattr(cls, name)
        if not getattr(rule, "is_rule", False):
            continue
        read = inspect.signature(rule).parameters
        try:
            rule(**{key: arguments.get(key, defaults[key]) for key in read})
        except ValueError as error:
            yield Problem(name, "rule", str(error))


def _problems(value: Any, hint: Any, where: str) -> Iterator[Problem]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        options = [list(_problems(value, option, where)) for option in inner]
        yield from min(options, key=lambda found: (len(found), "wrong_type" in str(found)))
    elif origin is Annotated:
        found = list(_problems(value, inner[0], where))
        yield from found
        for constraint in inner[1:] if not found else ():
            yield from _broken(value, constraint, where)
    elif origin is Literal:
        if value not in inner:
            yield Problem(where, "wrong_type", repr(value))
    elif inspect.isclass(origin) and issubclass(origin, Sequence) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, inner[0], f"{where}.{index}")
    elif not _fits(value, origin or hint):
        yield Problem(where, "wrong_type", repr(value))
    elif hint is Path and not Path(value).exists():
        yield Problem(where, "missing_path", str(value))


def _fits(value: Any, hint: Any) -> bool:
    if hint is float:
        return type(value) in (int, float)
    if hint is Path or hint is Secret:
        return isinstance(value, str)
    if hint is None or hint is types.NoneType:
        return value is None
    if hint in (int, str, bool):
        return type(value) is hint
    if hint is Sequence:
        return False
    return True


def _broken(value: Any, constraint: Any, where: str) -> Iterator[Problem]:
    limits = list(constraint) if isinstance(constraint, Interval) else [constraint]
    for limit in limits:
        if isinstance(limit, MinLen):
            is_met = len(value) >= limit.min_length
        elif isinstance(limit, Ge):
            is_met = value >= limit.ge
        elif isinstance(limit, Gt):
            is_met = value > limit.gt
        elif hasattr(limit, "lt"):
            is_met = value < limit.lt
        else:
            is_met = value <= limit.le
        if not is_met:
            yield Problem(where, "constraint", repr(value))
