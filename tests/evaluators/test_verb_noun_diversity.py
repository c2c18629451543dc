from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from pool_files import write_texts as write
from tiny_models import spacy_models

from sandbox.components import checks
from sandbox.evaluators.verb_noun_diversity import VerbNounDiversity, VerbNounScores
from sandbox.system.process import ProcessError

needs_spacy = pytest.mark.skipif(find_spec("spacy") is None, reason="spacy is not installed")


def judge(model: Path, pool: Path, folder: Path) -> tuple[VerbNounScores, list[Any]]:
    outputs = VerbNounDiversity(model_path=model).run(None, pool, scope=scope(folder))
    rows = [json.loads(line) for line in outputs.pairs_path.read_text().splitlines()]
    return outputs, [(row["verb"], row["noun"], row["count"]) for row in rows]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train ``parser``, a spaCy model, and ``half``, one without a parser."""
    folder = tmp_path_factory.mktemp("models")
    spacy_models(folder)
    return folder


@pytest.mark.slow
@needs_spacy
def test_pairs_are_counted_with_a_real_parser(models: Path, tmp_path: Path) -> None:
    texts = [
        "write a story.",
        "Please write a story.",
        "bake a cake.",
        "she sleeps.",
        "",
        "she sleeps. tell a joke.",
    ]
    pool = write(tmp_path / "pool.jsonl", texts)
    outputs, pairs = judge(models / "parser", pool, tmp_path / "out")
    assert pairs == [("write", "story", 2), ("bake", "cake", 1)]
    assert (outputs.num_samples, outputs.num_pairs, outputs.num_verbs) == (6, 2, 2)
    assert outputs.pair_fraction == 0.5 and outputs.distinct_pair_ratio == pytest.approx(2 / 3)
    assert outputs.pair_entropy == pytest.approx(0.9183, abs=1e-4)


@pytest.mark.slow
@needs_spacy
def test_a_model_without_a_parser_is_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ProcessError, match="half has no dependency parser; its pipeline has: tok2vec"
    ) as failure:
        judge(models / "half", write(tmp_path / "pool.jsonl", ["a"]), tmp_path / "out")
    assert "Traceback" not in str(failure.value)


def test_a_folder_that_is_no_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ValueError, match=f"model_path: {tmp_path} is no spaCy model; expected .*config.cfg"
    ):
        judge(tmp_path, write(tmp_path / "pool.jsonl", ["a"]), tmp_path / "out")
    with pytest.raises(ValueError, match="is no spaCy model"):
        VerbNounDiversity(model_path=tmp_path).check()


def test_missing_spacy_is_found_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    found = problems_of(VerbNounDiversity, model_path=tmp_path)
    texts = {problem.text for problem in found if problem.kind == "machine"}
    assert "spacy is not installed; pip install 'sandbox[quality]'" in texts
