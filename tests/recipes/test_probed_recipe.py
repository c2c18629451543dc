"""Arguments of a recipe on which no statistic depends."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.recipes.operators import operators
from sandbox.recipes.thresholds import THRESHOLDS, probed_recipe

DECIDING = {"any", "any_or_all", "min_closed_interval", "max_closed_interval", "reversed_range"}


def test_a_probed_recipe_has_no_thresholds() -> None:
    recipe = {
        "np": 2,
        "process": [
            {"words_num_filter": {"lang": "zh", "min_num": 3, "max_closed_interval": False}},
            {"image_shape_filter": {"min_width": 9, "any_or_all": "all"}},
            {"words_num_filter": {"max_num": 9}},
            {"image_subplot_filter": {"min_horizontal_lines": 3}},
        ],
    }
    given = copy.deepcopy(recipe)
    assert probed_recipe(recipe) == {
        "np": 2,
        "process": {
            "words_num_filter": {"lang": "zh"},
            "image_shape_filter": {},
            "words_num_filter__2": {},
            "image_subplot_filter": {"min_horizontal_lines": 3},
        },
    }
    assert recipe == given


def test_operators_of_the_users_own_keep_all_their_arguments() -> None:
    recipe: dict[str, Any] = {
        "process": {"text_length_filter": {"min_len": 1}},
        "custom_operator_paths": ["mine.py"],
    }
    assert probed_recipe(recipe) == recipe


@pytest.mark.skipif(not operators(), reason="needs Data-Juicer")
@pytest.mark.parametrize("operator", THRESHOLDS)
def test_no_operator_computes_its_statistic_with_a_threshold(operator: str) -> None:
    names = {side for each in THRESHOLDS[operator] for side in (each.minimum, each.maximum)}
    tree = ast.parse(operators()[operator].read_text(encoding="utf-8"))
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    computing = [each for each in methods if not each.name.startswith(("__init__", "process"))]
    assert any(each.name.startswith("compute_stats") for each in computing)
    for method in computing:
        assert not {*_attributes(method)} & (names | DECIDING), method.name


def _attributes(method: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.attr if node.value.id == "self" else ""
