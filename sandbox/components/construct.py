"""From component nodes to components, and back; checks nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.signature import arguments_of, is_secret
from sandbox.components.tree import is_node
from sandbox.components.values import converted, secret_value


def construct(value: Any, allowed: Sequence[str]) -> Any:
    """Build every component inside ``value``, which was checked before."""
    if is_node(value):
        cls = locate(value["_target_"], allowed)
        arguments = arguments_of(cls)
        given = {key: child for key, child in value.items() if key != "_target_"}
        return cls(
            **{
                name: _constructed(child, arguments[name].annotation, allowed)
                for name, child in given.items()
            }
        )
    if isinstance(value, Mapping):
        return {key: construct(child, allowed) for key, child in value.items()}
    if isinstance(value, list):
        return [construct(child, allowed) for child in value]
    return value


def convert(value: Any, allowed: Sequence[str]) -> Any:
    """Return a copy of ``value`` with the arguments of every component as its class takes them."""
    if isinstance(value, list):
        return [convert(item, allowed) for item in value]
    if not isinstance(value, Mapping):
        return value
    if not is_node(value):
        return {key: convert(child, allowed) for key, child in value.items()}
    arguments = arguments_of(locate(value["_target_"], allowed))
    return {
        key: convert(converted(child, arguments[key].annotation), allowed)
        if key in arguments
        else child
        for key, child in value.items()
    }


def with_defaults(value: Any, allowed: Sequence[str]) -> Any:
    """Return a copy of ``value`` in which components also have their default arguments."""
    if isinstance(value, (list, tuple)):
        return [with_defaults(item, allowed) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = as_node(value)
    if not isinstance(value, Mapping):
        return value
    defaults = {}
    if is_node(value):
        arguments = arguments_of(locate(value["_target_"], allowed)).values()
        defaults = {
            argument.name: with_defaults(argument.default, allowed)
            for argument in arguments
            if not argument.is_required
        }
    return defaults | {key: with_defaults(child, allowed) for key, child in value.items()}


def as_node(component: Any) -> dict[str, Any]:
    """Return the node of a built component, such as the default of an argument."""
    cls = type(component)
    arguments = {
        field.name: getattr(component, field.name)
        for field in dataclasses.fields(component)
        if field.init
    }
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **arguments}


def _constructed(value: Any, annotation: Any, allowed: Sequence[str]) -> Any:
    if is_secret(annotation):
        return secret_value(value)
    return construct(converted(value, annotation), allowed)
