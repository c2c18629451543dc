"""Which operators Data-Juicer has and what they take, read from its sources: importing it takes seconds."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

_REGISTERED = re.compile(r"@OPERATORS\.register_module\((.+)\)")
_NAMED = re.compile(r"^(\w+) = [\"'](\w+)[\"']", re.MULTILINE)
_NUMBER = re.compile(
    r"(Optional\[)?(Annotated\[)?(int|float|(Positive|NonNegative)(Int|Float))\b(?!.*\bstr\b)"
)
"""Annotations that take numbers only."""
_BASES = {"OP", "Mapper", "Filter", "Deduplicator", "Selector", "Grouper", "Aggregator", "Pipeline"}


def operator_problems(recipe: Mapping[str, Any]) -> list[str]:
    """What is wrong with the operators of a recipe, ``process`` as a mapping by operator.

    Nothing where Data-Juicer is not installed, and nothing of unknown names where operators of the
    user's own may be meant (``custom_operator_paths``, installed plug-ins).
    """
    known = operators()
    if not known:
        return []
    is_open = recipe.get("custom_operator_paths") or entry_points(group="data_juicer.ops")
    problems = []
    for key, arguments in recipe["process"].items():
        name = re.sub(r"__\d+$", "", key)
        if name not in known:
            problems += (
                [] if is_open else [f"{key}: Data-Juicer has no such operator{_near(name, known)}"]
            )
            continue
        takes = arguments_of(name)
        for argument, value in arguments.items() if takes else ():
            if _NUMBER.match(takes.get(argument, "")) and _is_no_number(value):
                problems.append(f"{key}.{argument}: expected {takes[argument]}, got {value!r}")
            if argument not in takes:
                own = ", ".join(sorted(takes.keys() - _base_arguments()))
                hint = _near(argument, takes) or f"; it takes: {own}"
                problems.append(f"{key}.{argument}: {name} takes no such argument{hint}")
    return problems


@cache
def operators() -> Mapping[str, Path]:
    """Source file of every operator by its name; empty where Data-Juicer is not installed."""
    spec = importlib.util.find_spec("data_juicer")
    if spec is None or not spec.submodule_search_locations:
        return {}
    found = {}
    for path in sorted((Path(spec.submodule_search_locations[0]) / "ops").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        registered = _REGISTERED.findall(text) if "@OPERATORS" in text else []
        names = dict(_NAMED.findall(text)) if registered else {}
        for word in registered:
            found[_name(word, names)] = path
    return found


@cache
def arguments_of(operator: str) -> Mapping[str, str]:
    """An operator's arguments, annotations by name; empty where a class that it extends is not in sight."""
    path = operators()[operator]
    text = path.read_text(encoding="utf-8")
    names = dict(_NAMED.findall(text))
    classes = {node.name: node for node in _parsed(text).body if isinstance(node, ast.ClassDef)}
    node = next(
        (
            each
            for each in classes.values()
            for decorator in each.decorator_list
            if (match := _REGISTERED.fullmatch(f"@{ast.unparse(decorator)}"))
            and _name(match[1], names) == operator
        ),
        None,
    )
    found: dict[str, str] = {}
    while node is not None:
        found = {**dict(_own_arguments(node)), **found}
        bases = [ast.unparse(base) for base in node.bases]
        if bases and bases[0] in _BASES:
            return {**dict.fromkeys(_base_arguments(), ""), **found}
        node = classes.get(bases[0]) if bases else None
    return {}


def _is_no_number(value: Any) -> bool:
    try:
        float(value if isinstance(value, str) else 0)
    except ValueError:
        return True
    return False


@cache
def _base_arguments() -> frozenset[str]:
    """What every operator takes: the keys of ``_BASE_PARAMS`` of all kinds of operators."""
    path = next(iter(operators().values())).parents[1] / "base_op.py"
    tables = [
        node.value
        for node in ast.walk(_parsed(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_BASE_PARAMS"
    ]
    keys = [key for table in tables if isinstance(table, ast.Dict) for key in table.keys]
    return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings(action="ignore"):  # of escapes in Data-Juicer's texts
        return ast.parse(text)


def _own_arguments(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            for argument in (*item.args.args[1:], *item.args.kwonlyargs):
                yield argument.arg, ast.unparse(argument.annotation) if argument.annotation else ""


def _name(word: str, names: Mapping[str, str]) -> str:
    """The text that a decorator's argument stands for: a literal, a constant, or an f-string of one."""
    word = names.get(word, word)
    word = re.sub(r"^f?[\"'](.*)[\"']$", r"\1", word)
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), word)


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
