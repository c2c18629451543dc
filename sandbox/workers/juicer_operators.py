"""Data-Juicer's filters without the rest of it: only those that a recipe names are imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

import juicer_import
import juicer_session
import worker_start
from worker_start import InputError

_KEYS = {
    "image_key": "images",
    "audio_key": "audios",
    "video_key": "videos",
    "image_bytes_key": "image_bytes",
}


def load_filters(recipe: dict[str, Any]) -> list[Statistics]:
    """Load the recipe's filters, in order.

    Raises:
        InputError: An operator or argument is wrong, an operator tags samples, or there is no
            filter.
    """
    if recipe.get("custom_operator_paths"):
        raise InputError("custom_operator_paths: not with probe=fast; take probe=analyzer")
    for token in ("image", "audio", "video", "eoc"):
        if value := recipe.get(f"{token}_special_token"):
            # Data-Juicer reads it once, when it is imported.
            os.environ[f"_DJ_SPECIAL_TOKEN_{token.upper()}"] = value
    process = [(name, arguments) for item in recipe["process"] for name, arguments in item.items()]
    with worker_start.importing():
        base_op = _import_base()
        is_filter = {name: _import_operator(name) for name, _ in process}
    juicer_session.check_operators([{name: given} for name, given in process if is_filter[name]])
    text_keys = recipe.get("text_keys") or "text"
    keys = {key: recipe.get(key) or default for key, default in _KEYS.items()}
    keys["text_key"] = text_keys if isinstance(text_keys, str) else text_keys[0]
    filters = []
    for name, arguments in process:
        if name in base_op.TAGGING_OPS.modules:
            raise InputError(f"{name} tags samples: not with probe=fast; take probe=analyzer")
        if is_filter[name] and name not in base_op.NON_STATS_FILTERS.modules:
            given = {key: value for key, value in arguments.items() if value is not None}
            operator = base_op.OPERATORS.modules[name](**{**arguments, **keys, **given})
            filters.append(Statistics(name, operator))
    if not filters:
        raise InputError(juicer_session.NO_FILTER)
    return filters


class Statistics:
    """A filter's statistics of a batch; keys may reach into samples, such as ``meta.title``."""

    def __init__(self, name: str, operator: Any) -> None:
        from data_juicer.core.data import wrap_func_with_nested_access

        self.operator_name = name
        self._compute = wrap_func_with_nested_access(operator.compute_stats_batched)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        computed: dict[str, Any] = self._compute(batch)
        return computed


def _import_base() -> Any:
    """Import the base of all operators; empty packages replace those that import everything."""
    juicer_import.guard()
    root = _root()
    import data_juicer  # noqa: F401

    for name in ("ops", "ops.filter", "ops.mapper", "core"):
        package = types.ModuleType(f"data_juicer.{name}")
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[package.__name__] = package
    base_op = importlib.import_module("data_juicer.ops.base_op")
    for name, value in vars(base_op).items():
        if not name.startswith("_"):
            setattr(sys.modules["data_juicer.ops"], name, value)
    core: Any = sys.modules["data_juicer.core"]
    core.NestedDataset = importlib.import_module("data_juicer.core.data").NestedDataset
    return base_op


def _import_operator(name: str) -> bool:
    """Import an operator and return True if it is a filter.

    Of the other operators only those that tag samples are imported, so that they register.
    """
    path = next(iter(sorted((_root() / "ops").glob(f"*/{name}.py"))), None)
    if path is None:
        raise InputError(f"recipe: {name}: not with probe=fast; take probe=analyzer")
    kind = path.parent.name
    if kind == "filter" or "TAGGING_OPS" in path.read_text(encoding="utf-8"):
        importlib.import_module(f"data_juicer.ops.{kind}.{name}")
    return kind == "filter"


def _root() -> Path:
    spec = importlib.util.find_spec("data_juicer")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("Data-Juicer is not installed; pip install 'sandbox[data]'")
    return Path(spec.submodule_search_locations[0])
