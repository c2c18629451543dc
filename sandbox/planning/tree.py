"""Walks over plain nested data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def select(node: Any, place: str) -> Any:
    """The value at a dotted place of plain data; ``None`` where there is none."""
    for key in place.split(".") if place else []:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
