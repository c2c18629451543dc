"""Data recipes: mappings with Data-Juicer's own keys, whose ``process`` may be a mapping by operator."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

_SUFFIX = re.compile(r"__\d+$")


def operator_name(key: str) -> str:
    """The operator of a key of a ``process`` mapping; ``text_length_filter__2`` is the second of its kind."""
    return _SUFFIX.sub("", key)


def process_list(recipe: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The operators of a recipe as Data-Juicer takes them: a list of ``{operator: arguments}``.

    ``process`` is a mapping by operator, in order, where an operator that occurs again has a
    suffix (``text_length_filter__2``), or already Data-Juicer's list.

    Raises:
        ValueError: There is no ``process``, it is empty, or an entry is not one operator with its arguments.
    """
    process = recipe.get("process")
    if isinstance(process, Mapping):
        entries = [(operator_name(str(key)), arguments) for key, arguments in process.items()]
    elif isinstance(process, list | tuple):
        entries = [_entry(item, position) for position, item in enumerate(process)]
    else:
        raise ValueError(
            f"recipe.process: expected a mapping {{operator: {{argument: value}}}} or a list of such "
            f"mappings, got {process!r}; keys of the recipe: {', '.join(map(str, recipe)) or 'none'}"
        )
    if not entries:
        raise ValueError("recipe.process names no operator")
    for name, arguments in entries:
        if not isinstance(arguments, Mapping | None):
            raise ValueError(f"recipe.process.{name}: expected {{argument: value}}, got {arguments!r}")
    return [{name: copy.deepcopy(dict(arguments or {}))} for name, arguments in entries]


def process_mapping(process: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The reverse of :func:`process_list`: by operator, with a suffix for the second and later ones."""
    mapping: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for item in process:
        for name, arguments in item.items():
            counts[name] = counts.get(name, 0) + 1
            mapping[name if counts[name] == 1 else f"{name}__{counts[name]}"] = arguments
    return mapping


def _entry(item: Any, position: int) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ValueError(
            f"recipe.process[{position}]: expected one operator {{name: arguments}}, got {item!r}"
        )
    return next((str(name), arguments) for name, arguments in item.items())
