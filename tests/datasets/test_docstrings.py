"""Docstrings of the standard library as a data set."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope

from sandbox.datasets.docstrings import DocstringsDataset


def collect(output_dir: Path, **arguments: Any) -> tuple[dict[str, Any], list[Any], list[Any]]:
    output_dir.mkdir()
    outputs = asdict(DocstringsDataset(**arguments).run(scope=scope(output_dir)))
    train, heldout = (
        [json.loads(line) for line in outputs[name].read_text().splitlines()]
        for name in ("train_path", "heldout_path")
    )
    return outputs, train, heldout


def test_docstrings_are_real_and_name_their_objects(tmp_path: Path) -> None:
    import importlib
    import inspect
    from operator import attrgetter

    outputs, train, heldout = collect(tmp_path / "a", num_samples=60)
    assert (len(train), len(heldout)) == (outputs["num_train"], outputs["num_heldout"])
    assert len(train) == 60
    assert 0 < len(heldout) <= 6
    sample = next(sample for sample in train if sample["meta"]["object"][:1].isupper())
    module = importlib.import_module(sample["meta"]["module"])
    assert inspect.getdoc(attrgetter(sample["meta"]["object"])(module)) == sample["text"]


def test_training_and_held_out_data_share_no_module_and_no_text(tmp_path: Path) -> None:
    _, train, heldout = collect(tmp_path / "a", num_samples=400)
    modules = {sample["meta"]["module"] for sample in train}
    texts = {sample["text"] for sample in train}
    assert not [sample for sample in heldout if sample["meta"]["module"] in modules]
    assert not [sample for sample in heldout if sample["text"] in texts]
    assert not [
        sample for sample in train if {"test", "idlelib"} & set(sample["meta"]["module"].split("."))
    ]


def test_the_same_seed_gives_the_same_samples(tmp_path: Path) -> None:
    _, first, first_heldout = collect(tmp_path / "a", num_samples=50)
    _, again, again_heldout = collect(tmp_path / "b", num_samples=50)
    _, other, _ = collect(tmp_path / "c", num_samples=50, seed=1)
    assert (first, first_heldout) == (again, again_heldout)
    assert first != other


@pytest.mark.parametrize(
    "given", [{"num_samples": 0}, {"heldout_fraction": 0.0}, {"heldout_fraction": 1.0}], ids=str
)
def test_arguments_are_checked(given: dict[str, Any]) -> None:
    (problem,) = problems_of(DocstringsDataset, **given)
    assert (problem.where, problem.kind) == (next(iter(given)), "constraint")


def test_a_python_without_sources_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no docstrings"):
        collect(tmp_path / "a")
