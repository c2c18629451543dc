"""Data recipes: mappings with Data-Juicer's own keys; ``process`` may be a mapping by operator."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.recipes.operators import argument_problems, operator_name, unknown_operators
from sandbox.system.files import require_regular

EXECUTOR_TYPES = ("default", "ray")

_MOST_BYTES = 10_000_000


def check_recipe(recipe: Mapping[str, Any] | None) -> None:
    """Check a job's recipe without its file: a rule of its own, because a job may make the file.

    Raises:
        ValueError: The executor's type, or an argument of an operator that Data-Juicer has, is
            unknown.
    """
    _check_executor_type(recipe or {})
    process = (recipe or {}).get("process")
    if isinstance(process, Mapping):
        # Arguments of another form are the file's rule to report.
        given = {str(key): each for key, each in process.items() if isinstance(each, Mapping)}
        _refuse(argument_problems(given))


def check_recipe_file(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> None:
    """Check a recipe together with its file, apart from what :func:`check_recipe` reports.

    Raises:
        ValueError: Neither is given, the file or ``process`` has another form, or an operator is
            unknown.
    """
    if not recipe and recipe_path is None:
        raise ValueError("recipe: choose one, or give recipe_path")
    where, checked = "recipe", {}
    try:
        if recipe_path is not None:
            where = f"recipe_path: {recipe_path}"
            base = load_recipe(None, recipe_path)
            _check_executor_type(base)
            checked = base["process"]
        elif recipe and not isinstance(recipe.get("process"), Mapping):
            checked = as_mapping(recipe)
        _refuse([*argument_problems(checked), *unknown_operators(load_recipe(recipe, recipe_path))])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def check_executor(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> None:
    """Require the package that the recipe's executor needs on this machine.

    Raises:
        ModuleNotFoundError: Ray is not installed for ``executor_type: ray``.
    """
    given = dict(recipe or {})
    if recipe_path is not None and "executor_type" not in given:
        with contextlib.suppress(ValueError, OSError):  # the file's own rule reports it
            given = load_recipe(recipe, recipe_path)
    if given.get("executor_type") == "ray" and importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("executor_type: ray is not installed; pip install 'sandbox[ray]'")


def load_recipe(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> dict[str, Any]:
    """Return a recipe with its overrides, ``process`` as a mapping by operator.

    Args:
        recipe: Data-Juicer's own keys; with a file, only overrides on top of it: arguments of its
            operators by name, other keys, or further operators, which go to the end.
        recipe_path: A YAML recipe file of Data-Juicer.

    Raises:
        ValueError: The file is not a recipe, or there is no ``process`` in the end.
    """
    overrides = dict(recipe or {})
    if recipe_path is None:
        return {**overrides, "process": as_mapping(overrides)}
    base = _read(recipe_path)
    process = as_mapping(base)
    changes = overrides.pop("process", None) or {}
    if not isinstance(changes, Mapping):
        raise ValueError(
            "process: on top of a recipe_path, expected a mapping {operator: {argument: value}}, "
            f"got {changes!r}"
        )
    for key, arguments in changes.items():
        process[str(key)] = {**process.get(str(key), {}), **_arguments(str(key), arguments)}
    return {**base, **overrides, "process": process}


def process_list(recipe: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """Return the operators of a recipe as Data-Juicer takes them, ``[{operator: arguments}]``.

    ``process`` is a mapping by operator, in order, in which an operator that occurs again has a
    suffix (``text_length_filter__2``), or already Data-Juicer's list.

    Raises:
        ValueError: There is no ``process``, it is empty, or an entry is not one operator with its
            arguments.
    """
    process = recipe.get("process")
    if isinstance(process, Mapping):
        entries = [(operator_name(str(key)), arguments) for key, arguments in process.items()]
    elif isinstance(process, list | tuple):
        entries = [_entry(item, position) for position, item in enumerate(process)]
    else:
        keys = ", ".join(map(str, recipe)) or "none"
        raise ValueError(
            "process: expected a mapping {operator: {argument: value}} or a list of such mappings, "
            f"got {process!r}; keys of the recipe: {keys}"
        )
    if not entries:
        raise ValueError("process: names no operator")
    return [{name: copy.deepcopy(_arguments(name, arguments))} for name, arguments in entries]


def as_mapping(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operators of a recipe by their keys: as given in a mapping, else with suffixes.

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
    """Return the reverse of :func:`process_list`: by operator, with suffixes from the second on."""
    mapping: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for item in process:
        for name, arguments in item.items():
            counts[name] = counts.get(name, 0) + 1
            mapping[name if counts[name] == 1 else f"{name}__{counts[name]}"] = arguments
    return mapping


def to_yaml(recipe: Mapping[str, Any]) -> str:
    """Return a recipe as YAML, its keys in their own order."""
    import yaml

    # The order of operators is their order of execution.
    text: str = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
    return text


def as_file(recipe: Mapping[str, Any]) -> str:
    """Return a recipe as ``dj-process`` reads it: ``process`` as a list."""
    return to_yaml({**recipe, "process": process_list(recipe)})


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    require_regular(path)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"has {size:,} bytes, a recipe has at most {_MOST_BYTES:,}")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, Mapping):
        raise ValueError("expected a recipe, a YAML mapping with Data-Juicer's keys")
    return recipe


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError("; ".join(f"process.{problem}" for problem in problems))


def _check_executor_type(recipe: Mapping[str, Any]) -> None:
    kind = recipe.get("executor_type", "default")
    if kind not in EXECUTOR_TYPES:
        raise ValueError(f"executor_type: expected {' or '.join(EXECUTOR_TYPES)}, got {kind!r}")


def _arguments(name: str, arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, Mapping | None):
        raise ValueError(f"process.{name}: expected {{argument: value}}, got {arguments!r}")
    return dict(arguments or {})


def _entry(item: Any, position: int) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ValueError(
            f"process.{position}: expected one operator {{name: arguments}}, got {item!r}"
        )
    ((name, arguments),) = item.items()
    return str(name), arguments
