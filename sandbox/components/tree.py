"""Walks over plain nested data: mappings, lists and leaves.

A *place* is the dotted path of a value, ``executor.dataset_paths.0``; the root's is empty.
A *node* is a mapping with ``_target_``: a component that is not built yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]

_PLAIN = (str, int, float, type(None))
"""Most leaves: to find them to be no ``Mapping`` takes ten times as long."""


def joined(place: str, key: object) -> str:
    """Return the place of ``key`` inside the value at ``place``."""
    return f"{place}.{key}" if place else str(key)


def is_node(value: Any) -> bool:
    """Return True for a mapping that describes a component."""
    return not isinstance(value, _PLAIN) and isinstance(value, Mapping) and "_target_" in value


def children(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return key and value of a mapping, index and item of a list, nothing of a leaf."""
    if isinstance(value, _PLAIN):
        return ()
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield place and value of everything that is neither mapping nor list."""
    if isinstance(value, _PLAIN) or not isinstance(value, (Mapping, list, tuple)):
        yield place, value
    for key, child in children(value):
        if isinstance(child, _PLAIN):
            yield joined(place, key), child
        else:
            yield from leaves(child, joined(place, key))


def nodes(value: Any, place: str = "") -> Iterator[tuple[str, Node]]:
    """Yield place and node of every component inside ``value``, outermost first."""
    if is_node(value):
        yield place, value
    for key, child in children(value):
        if not isinstance(child, _PLAIN):
            yield from nodes(child, joined(place, key))


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return a copy of ``value`` in which ``function`` has replaced every leaf."""
    if isinstance(value, _PLAIN):
        return function(value)
    if isinstance(value, Mapping):
        return {key: mapped(child, function) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [mapped(child, function) for child in value]
    return function(value)


def select(value: Any, place: str) -> Any:
    """Return the value at a place below mappings; ``None`` where there is none."""
    for key in place.split(".") if place else []:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def put(config: dict[str, Any], place: str, value: Any) -> None:
    """Set the value at a place, with the mappings above it where they do not exist."""
    *parents, last = place.split(".")
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value


def parent_of(place: str) -> str:
    """Return the place of the mapping that holds the value at ``place``."""
    return place.rpartition(".")[0]


def name_of(place: str) -> str:
    """Return the last key of a place."""
    return place.rpartition(".")[2]
