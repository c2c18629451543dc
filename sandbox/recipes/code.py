"""Find what in a recipe runs code of the recipe's choice, or writes files anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sandbox.recipes import load_recipe
from sandbox.recipes.operators import operator_name, operators

Permission = Literal["recipe-code", "outside-files"]

_OPERATORS = frozenset(
    {
        "python_lambda_mapper",
        "python_file_mapper",
        "image_ohem_selector",  # scores by a Python file
        "download_file_mapper",
        "s3_download_file_mapper",
        "s3_upload_file_mapper",
    }
)
_CODE_ARGUMENTS = {"remove_repeat_sentences_mapper": "tokenizer"}
"""Operators that carry code only in one argument."""

# Sources of operators that start programs, install packages, or load code and pickled objects.
_CODE = re.compile(
    r"\beval\(compiled|\bexec\(|spec_from_file_location|\bsubprocess\.|\bpickle\.load"
    r"|\bos\.(?:system|popen)\(|\bYOLO\(|\btorch\.(?:load|jit\.load)\("
    # Helpers in other files that load pickles.
    r"|\b(?:ASD_mapper_utils|mano_func|hawor_func)\b"
    r"|model_type=[\"'](?:yolo|YOLOv8_human|fastsam|wilor|sam_3d_body|dwpose|deepcalib)[\"']"
)
_KINDS = ("_mapper", "_filter", "_deduplicator", "_selector", "_grouper", "_aggregator", "_op")
_CODE_KEYS = ("custom_operator_paths", "runtime_env")
_WRITTEN = re.compile(
    r"(?:\w+_)?(?:save|output|export|dump|work|temp|cache|log)(?:_\w+)?_(?:dir|path)"
    r"|(?:checkpoint|partition)_dir"
)


def recipe_permissions(recipe: Any, recipe_path: Any) -> Iterator[tuple[str, Permission, str]]:
    """Yield what a job's recipe, or its file, asks for; values known later are passed over."""
    yield from code_in_recipe(recipe, "recipe")
    if isinstance(recipe_path, (str, Path)) and Path(recipe_path).is_file():
        try:
            read = load_recipe(None, Path(recipe_path))
        except (ValueError, OSError):  # reported by the recipe's own rules
            return
        yield from code_in_recipe(read, "recipe_path")


def code_in_recipe(value: Any, place: str = "") -> Iterator[tuple[str, Permission, str]]:
    """Yield place, permission and reason of everything in a recipe that a person must allow.

    Args:
        value: A recipe or a part of it, plain data; an operator may hold other operators.
        place: Its dotted place; empty for the recipe itself.
    """
    if isinstance(value, str) and _carries_code(value, {}):
        yield place, "recipe-code", f"{value} carries code, starts programs or writes files"
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from code_in_recipe(item, f"{place}.{index}".lstrip("."))
    if not isinstance(value, Mapping):
        return
    for key, child in value.items():
        name = str(key).replace("-", "_")
        where = f"{place}.{key}".lstrip(".")
        if _carries_code(name, child):
            text = f"{operator_name(name)} carries code, starts programs or writes files"
            yield where, "recipe-code", text
        elif name in _CODE_KEYS and child:
            yield where, "recipe-code", f"{key} carries code"
        elif _WRITTEN.fullmatch(name) and _leads_out(child):
            yield where, "outside-files", f"given {child!r}, which may be anywhere"
        if not isinstance(child, str):
            yield from code_in_recipe(child, where)


def _leads_out(path: Any) -> bool:
    return isinstance(path, str) and (path.startswith(("/", "~")) or ".." in path)


def _carries_code(key: str, arguments: Any) -> bool:
    name = operator_name(key)
    if name in _CODE_ARGUMENTS:
        given = arguments if isinstance(arguments, Mapping) else {}
        return given.get(_CODE_ARGUMENTS[name]) is not None
    return name in _OPERATORS or _has_code(name)


@cache
def _has_code(operator: str) -> bool:
    """Return True if the source of a Data-Juicer operator runs code or starts programs."""
    # Only names of operators: the sources of all of them are read once for that.
    if not operator.endswith(_KINDS) or operator not in operators():
        return False
    return _CODE.search(operators()[operator].read_text(encoding="utf-8")) is not None
