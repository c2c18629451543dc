"""Data-Juicer's filters without the rest of it: only those that a recipe names are imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

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
    """The recipe's filters, in order.

    Raises:
        InputError: An operator or argument is wrong, an operator tags samples, or there is no filter.
    """
    if recipe.get("custom_operator_paths"):
        raise InputError("custom_operator_paths: not with probe=fast; take probe=analyzer")
    for token in ("image", "audio", "video", "eoc"):
        if value := recipe.get(f"{token}_special_token"):
            os.environ[f"_DJ_SPECIAL_TOKEN_{token.upper()}"] = (
                value  # read when Data-Juicer is imported
            )
    with worker_start.importing():
        base_op = _import_base()
        modules = {name: _import_operator(name) for item in recipe["process"] for name in item}
    juicer_session.check_operators(
        [item for item in recipe["process"] if modules[next(iter(item))]]
    )
    text_keys = recipe.get("text_keys") or "text"
    keys = {key: recipe.get(key) or default for key, default in _KEYS.items()}
    keys["text_key"] = text_keys if isinstance(text_keys, str) else text_keys[0]
    filters = []
    for item in recipe["process"]:
        for name, arguments in item.items():
            if name in base_op.TAGGING_OPS.modules:
                raise InputError(f"{name} tags samples: not with probe=fast; take probe=analyzer")
            if not modules[name] or name in base_op.NON_STATS_FILTERS.modules:
                continue
            given = {key: value for key, value in arguments.items() if value is not None}
            operator = base_op.OPERATORS.modules[name](**{**arguments, **keys, **given})
            filters.append(Statistics(name, operator))
    if not filters:
        raise InputError("recipe: no operator of it computes statistics; it needs a filter")
    return filters


class Statistics:
    """A filter's statistics of a batch; keys such as ``meta.title`` reach into samples, as in Data-Juicer."""

    def __init__(self, name: str, operator: Any) -> None:
        from data_juicer.core.data import wrap_func_with_nested_access

        self.operator_name = name
        self._compute = wrap_func_with_nested_access(operator.compute_stats_batched)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        computed: dict[str, Any] = self._compute(batch)
        return computed


def _import_base() -> Any:
    """Import what all operators extend, with empty packages in place of those that import everything."""
    juicer_session.guard()
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
    sys.modules["data_juicer.core"].NestedDataset = importlib.import_module(  # type: ignore[attr-defined]
        "data_juicer.core.data"
    ).NestedDataset
    return base_op


def _import_operator(name: str) -> bool:
    """Import a filter's module and say so; other operators only if they tag samples, which is not offered."""
    path = next(iter(sorted((_root() / "ops").glob(f"*/{name}.py"))), None)
    kind = path.parent.name if path else ""
    if path is None or (kind != "filter" and "TAGGING_OPS" not in path.read_text(encoding="utf-8")):
        if path is None:
            raise InputError(f"recipe: {name}: not with probe=fast; take probe=analyzer")
        return False
    importlib.import_module(f"data_juicer.ops.{kind}.{name}")
    return kind == "filter"


def _root() -> Path:
    spec = importlib.util.find_spec("data_juicer")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("Data-Juicer is not installed; pip install 'sandbox[data]'")
    return Path(spec.submodule_search_locations[0])
