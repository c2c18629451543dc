"""Data-Juicer's operators and their arguments, read from its sources: an import takes seconds."""

from __future__ import annotations

import ast
import importlib.util
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sandbox.system.wording import did_you_mean

_REGISTERED = re.compile(r"@OPERATORS\.register_module\((.+)\)")
_NAMED = re.compile(r"^(\w+) = [\"'](\w+)[\"']", re.MULTILINE)
_TAGS = "@TAGGING_OPS.register_module"
_SUFFIX = re.compile(r"__\d+$")
_NUMBER = re.compile(
    r"(Optional\[)?(Annotated\[)?(int|float|(Positive|NonNegative)(Int|Float))\b(?!.*\bstr\b)"
)
"""Annotations that take numbers only."""
_BASES = {"OP", "Mapper", "Filter", "Deduplicator", "Selector", "Grouper", "Aggregator", "Pipeline"}


def operator_name(key: str) -> str:
    """Return the operator of a key of a ``process`` mapping, which has a suffix if it occurs again.

    ``text_length_filter__2`` is the second ``text_length_filter``.
    """
    return _SUFFIX.sub("", key)


def unknown_operators(recipe: Mapping[str, Any]) -> list[str]:
    """Return a message for every operator that Data-Juicer does not have.

    There is none if Data-Juicer is not installed, or if operators of the user's own may be meant
    (``custom_operator_paths``, installed plug-ins).

    Args:
        recipe: A recipe, ``process`` as a mapping by operator.
    """
    known = operators()
    if not known or recipe.get("custom_operator_paths"):
        return []
    unknown = [key for key in recipe["process"] if operator_name(key) not in known]
    # Asked last: the entry points of all packages are read.
    if not unknown or entry_points(group="data_juicer.ops"):
        return []
    return [
        f"{key}: Data-Juicer has no such operator; {did_you_mean(operator_name(key), known)}"
        for key in unknown
    ]


def analyzer_reasons(recipe: Mapping[str, Any]) -> list[str]:
    """Return a message for every operator whose statistics only the Analyzer computes.

    There is none for operators if Data-Juicer is not installed.

    Args:
        recipe: A recipe, ``process`` as a mapping by operator.
    """
    if recipe.get("custom_operator_paths"):
        return ["custom_operator_paths: operators of your own may replace Data-Juicer's"]
    known = operators()
    reasons = {}
    for name in map(operator_name, recipe["process"]) if known else ():
        if name not in known:
            reasons[name] = "is none of Data-Juicer's own operators"
        elif known[name].stem != name:
            reasons[name] = f"stands in the file {known[name].name}"
        elif _TAGS in known[name].read_text(encoding="utf-8"):
            reasons[name] = "tags samples"
    return [f"{name} {reason}" for name, reason in reasons.items()]


def argument_problems(process: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a message for every wrong argument of the operators that Data-Juicer has."""
    problems = []
    for key, arguments in process.items():
        name = operator_name(key)
        takes = arguments_of(name) if name in operators() else {}
        # Without its base class in view, an operator's arguments are not known.
        for argument, value in arguments.items() if takes else ():
            problem = _problem(name, argument, value, takes)
            if problem:
                problems.append(f"{key}.{argument}: {problem}")
    return problems


def _problem(operator: str, argument: str, value: Any, takes: Mapping[str, str]) -> str:
    if argument not in takes:
        own = sorted(takes.keys() - _base_arguments())
        hint = did_you_mean(argument, [*own, *sorted(_base_arguments())])
        return f"{operator} takes no such argument; {hint}"
    # Other values may be converted by Data-Juicer itself.
    if _NUMBER.match(takes[argument]) and isinstance(value, str) and not _is_number(value):
        return f"expected {takes[argument]}, got {value!r}"
    return ""


@cache
def operators() -> Mapping[str, Path]:
    """Return the source file of every operator by its name; none without Data-Juicer."""
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
    """Return the annotations of an operator's arguments by name.

    Empty if a class that it extends is in another file and not one of Data-Juicer's bases.
    """
    path = operators()[operator]
    # Names are often constants of the module: OP_NAME = "text_length_filter".
    text = path.read_text(encoding="utf-8")
    names = dict(_NAMED.findall(text))
    classes = {node.name: node for node in _parsed(text).body if isinstance(node, ast.ClassDef)}
    node = _registered_class(classes.values(), operator, names)
    found: dict[str, str] = {}
    while node is not None:
        found = {**dict(_own_arguments(node)), **found}
        bases = [ast.unparse(base) for base in node.bases]
        if bases and bases[0] in _BASES:
            return {**dict.fromkeys(_base_arguments(), ""), **found}
        node = classes.get(bases[0]) if bases else None
    return {}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _registered_class(
    classes: Iterable[ast.ClassDef], operator: str, names: Mapping[str, str]
) -> ast.ClassDef | None:
    for node in classes:
        for decorator in node.decorator_list:
            registered = _REGISTERED.fullmatch(f"@{ast.unparse(decorator)}")
            if registered and _name(registered[1], names) == operator:
                return node
    return None


@cache
def _base_arguments() -> frozenset[str]:
    """Return the arguments of every operator: the keys of ``_BASE_PARAMS`` of all base classes."""
    path = next(iter(operators().values())).parents[1] / "base_op.py"
    found: set[str] = set()
    for node in ast.walk(_parsed(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Assign(targets=[ast.Name(id="_BASE_PARAMS")], value=ast.Dict(keys=keys)):
                found.update(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return frozenset(found)


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings(action="ignore"):  # about escapes in Data-Juicer's texts
        return ast.parse(text)


def _own_arguments(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            for argument in (*item.args.args[1:], *item.args.kwonlyargs):
                annotation = argument.annotation
                yield argument.arg, ast.unparse(annotation) if annotation else ""


def _name(word: str, names: Mapping[str, str]) -> str:
    """Return the text of a decorator's argument: a literal, a constant, or an f-string of one."""
    word = names.get(word, word)
    word = re.sub(r"^f?[\"'](.*)[\"']$", r"\1", word)
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), word)
