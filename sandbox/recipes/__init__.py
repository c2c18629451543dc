"""Data recipes: mappings with Data-Juicer's own keys, whose ``process`` may be a mapping by operator."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXECUTOR_TYPES = ("default", "ray")

_SUFFIX = re.compile(r"__\d+$")


def operator_name(key: str) -> str:
    """The operator of a key of a ``process`` mapping; ``text_length_filter__2`` is the second of its kind."""
    return _SUFFIX.sub("", key)


def check_recipe(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> None:
    """Look at a recipe before anything runs: its form, and its operators as far as Data-Juicer is here.

    Raises:
        ValueError: Neither is given; the file is no recipe; ``process`` is none; an operator or an
            argument is unknown; the executor's type is unknown or Ray is not installed for it.
    """
    if not recipe and recipe_path is None:
        raise ValueError("recipe: choose one, or give recipe_path")
    _check_executor_type(recipe or {}, "recipe")
    if recipe_path is None:
        _check(load_recipe(recipe, None), "recipe")
    elif recipe_path.is_file():
        _check(load_recipe(recipe, recipe_path), "recipe_path")
    elif recipe and recipe.get(
        "process"
    ):  # an earlier job makes the file, or it is reported as missing
        _check(load_recipe(recipe, None), "recipe")


def load_recipe(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> dict[str, Any]:
    """The recipe that a file and what is laid over it make, its ``process`` as a mapping by operator.

    Args:
        recipe: Data-Juicer's own keys; with a file, only what is to be different from it: arguments
            of its operators by name, other keys, or further operators, which go to the end.
        recipe_path: A YAML recipe file of Data-Juicer.

    Raises:
        ValueError: The file is no recipe, or there is no ``process`` in the end.
    """
    over = dict(recipe or {})
    if recipe_path is None:
        return {**over, "process": as_mapping(over)}
    base = _read(recipe_path)
    try:
        process = as_mapping(base)
    except ValueError as error:
        raise ValueError(f"recipe_path: {recipe_path}: {error}") from error
    changes = over.pop("process", None) or {}
    if not isinstance(changes, Mapping):
        raise ValueError(
            "recipe.process: over a recipe_path, expected a mapping {operator: {argument: value}}, "
            f"got {changes!r}"
        )
    for key, arguments in changes.items():
        process[str(key)] = {**process.get(str(key), {}), **_arguments(str(key), arguments)}
    return {**base, **over, "process": process}


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
    return [{name: copy.deepcopy(_arguments(name, arguments))} for name, arguments in entries]


def as_mapping(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The operators of a recipe by their keys: as given in a mapping, else with suffixes.

    Raises:
        ValueError: As of :func:`process_list`.
    """
    entries = process_list(recipe)
    process = recipe["process"]
    if not isinstance(process, Mapping):
        return process_mapping(entries)
    arguments = (each for item in entries for each in item.values())
    return dict(zip(map(str, process), arguments, strict=True))


def process_mapping(process: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The reverse of :func:`process_list`: by operator, with a suffix for the second and later ones."""
    mapping: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for item in process:
        for name, arguments in item.items():
            counts[name] = counts.get(name, 0) + 1
            mapping[name if counts[name] == 1 else f"{name}__{counts[name]}"] = arguments
    return mapping


def to_yaml(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML, its keys in their own order."""
    import yaml

    text: str = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
    return text


def as_file(recipe: Mapping[str, Any]) -> str:
    """A recipe as ``dj-process`` reads it: ``process`` as a list."""
    return to_yaml({**recipe, "process": process_list(recipe)})


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"recipe_path: {path} is no YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(recipe, Mapping):
        raise ValueError(
            f"recipe_path: {path}: expected a recipe, a YAML mapping with Data-Juicer's keys"
        )
    return recipe


def _check(recipe: Mapping[str, Any], where: str) -> None:
    from sandbox.recipes.operators import operator_problems

    _check_executor_type(recipe, where)
    problems = operator_problems(recipe)
    if problems:
        raise ValueError("; ".join(f"{where}.process.{problem}" for problem in problems))


def _check_executor_type(recipe: Mapping[str, Any], where: str) -> None:
    kind = recipe.get("executor_type", "default")
    if kind not in EXECUTOR_TYPES:
        raise ValueError(
            f"{where}.executor_type: expected one of {', '.join(EXECUTOR_TYPES)}, got {kind!r}"
        )
    if kind == "ray" and importlib.util.find_spec("ray") is None:
        raise ValueError(f"{where}.executor_type: ray is not installed; pip install 'sandbox[ray]'")


def _arguments(name: str, arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, Mapping | None):
        raise ValueError(f"recipe.process.{name}: expected {{argument: value}}, got {arguments!r}")
    return dict(arguments or {})


def _entry(item: Any, position: int) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ValueError(
            f"recipe.process[{position}]: expected one operator {{name: arguments}}, got {item!r}"
        )
    return next((str(name), arguments) for name, arguments in item.items())
