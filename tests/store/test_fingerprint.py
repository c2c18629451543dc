"""Arguments that count in a fingerprint only in part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.store.content import ContentHashes
from sandbox.store.fingerprint import Element, parts_of

FAST = {"_target_": "sandbox.executors.data_juicer.DataJuicerFastProbe"}
ANALYZER = {"_target_": "sandbox.executors.data_juicer.DataJuicerAnalyzer"}
EXECUTOR = {"_target_": "sandbox.executors.data_juicer.DataJuicerExecutor"}


def fingerprint(tmp_path: Path, analyzer: Mapping[str, str], **arguments: Any) -> str:
    """Return the fingerprint of a probe of one data set."""
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "one"}\n')
    config = {
        "_target_": "sandbox.hooks.probe_via_analyzer.ProbeViaAnalyzerHook",
        "analyzer": dict(analyzer),
        "dataset_path": str(data),
        **arguments,
    }
    store = tmp_path / "store"
    parts = parts_of(config, ("sandbox.*",), ContentHashes(store), {})
    return Element("probe", "probe", config, parts, store, ()).fingerprint


def recipe(name: str = "text_length_filter", **arguments: Any) -> dict[str, Any]:
    return {"process": {name: arguments}}


@pytest.mark.parametrize("analyzer", [FAST, ANALYZER], ids=["fast", "analyzer"])
def test_a_probe_does_not_depend_on_thresholds(tmp_path: Path, analyzer: Any) -> None:
    first = fingerprint(tmp_path, analyzer, recipe=recipe(min_len=1))
    assert first == fingerprint(tmp_path, analyzer, recipe=recipe(min_len=7, max_len=9))
    assert first == fingerprint(tmp_path, analyzer, recipe=recipe(reversed_range=True))
    other = fingerprint(tmp_path, analyzer, recipe=recipe("words_num_filter"))
    assert first != other
    assert other != fingerprint(
        tmp_path, analyzer, recipe=recipe("words_num_filter", lang="zh", min_num=2)
    )


def test_a_recipe_file_counts_by_what_it_computes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    found = set()
    for min_len in (1, 5):
        path.write_text(yaml.safe_dump({"process": [{"text_length_filter": {"min_len": min_len}}]}))
        found.add(fingerprint(tmp_path, FAST, recipe_path=str(path)))
    assert found == {fingerprint(tmp_path, FAST, recipe=recipe(min_len=9))}


def test_what_uses_the_thresholds_depends_on_them(tmp_path: Path) -> None:
    first = fingerprint(tmp_path, EXECUTOR, recipe=recipe(min_len=1))
    assert first != fingerprint(tmp_path, EXECUTOR, recipe=recipe(min_len=2))
