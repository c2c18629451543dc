"""Behaviour that all evaluators of data share: errors in pools, formats, checks of the request."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from contract import request_problems, scope
from pool_files import write_texts

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.near_duplicates import NearDuplicates
from sandbox.evaluators.pool_distance import PoolDistance
from sandbox.evaluators.statistic_distributions import StatisticDistributions
from sandbox.evaluators.text_diversity import TextDiversityEvaluator
from sandbox.evaluators.text_likelihood import TextLikelihood
from sandbox.samples import SampleError

EVALUATORS: dict[str, type[BaseEvaluator]] = {
    "text_diversity": TextDiversityEvaluator,
    "near_duplicates": NearDuplicates,
    "statistic_distributions": StatisticDistributions,
    "pool_distance": PoolDistance,
    "text_likelihood": TextLikelihood,
}
BAD: dict[str, tuple[str | bytes, str]] = {
    "cut off": ('{"text": "a"}\n\n{"text": ', ":3: not valid JSON"),
    "no UTF-8": (b'{"text": "a"}\n{"text": "\xff"}\n', ":2: not valid JSON"),
    "other key": ('{"caption": "a", "id": 1}\n', ":1: no text under 'text'; keys: caption, id"),
    "null": ('{"text": null}\n', ":1: expected a text under 'text'"),
    "no object": ("[1]\n", r":1: expected a JSON object, got '\[1\]'"),
    "empty": ("\n\n", "empty"),
}


def make(name: str, folder: Path) -> BaseEvaluator:
    """Build an evaluator whose reference is a good pool, and whose model looks like one."""
    good = write_texts(folder / "good.jsonl", ["a"])
    (folder / "config.json").write_text("{}")
    arguments = {
        "pool_distance": {"reference_path": good},
        "text_likelihood": {"model_path": folder},
    }
    evaluator: BaseEvaluator = EVALUATORS[name](**arguments.get(name, {}))
    return evaluator


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("bad", BAD)
def test_an_unreadable_sample_is_named(name: str, bad: str, tmp_path: Path) -> None:
    content, message = BAD[bad]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    job = scope(tmp_path)
    with pytest.raises(SampleError, match=message) as failure:
        make(name, tmp_path).run(None, path, scope=job)
    assert path.name in str(failure.value)
    assert not list(job.output_dir.iterdir()), "temporary files remain"


def damaged_pools() -> dict[str, bytes]:
    """Return damaged pools by file name."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    lines = b'{"text": "a"}\n' * 999
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [f"a {index}" for index in range(999)]}), file)
    table = file.getvalue()
    return {
        "cut.jsonl.gz": gzip.compress(lines)[:-20],
        "wrong.jsonl.gz": lines,
        "cut.jsonl.zst": zstandard.compress(lines)[:-5],
        "wrong.jsonl.zst": lines,
        "cut.parquet": table[:-30],
        "wrong.parquet": lines,
        "page.parquet": table[:20] + b"\xff" * 50 + table[70:],
    }


DAMAGED = damaged_pools()


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("file", DAMAGED)
def test_a_damaged_file_is_named(name: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes(DAMAGED[file])
    with pytest.raises(SampleError, match=f"{file}: cannot be (unpacked|read as Parquet)"):
        make(name, tmp_path).run(None, path, scope=scope(tmp_path))


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_missing_pool_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make(name, tmp_path).run(None, tmp_path / "missing.jsonl", scope=scope(tmp_path))


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("eval_obj", [None, 3, "", [{"text": "a"}], {"a": "b"}], ids=str)
def test_an_object_that_is_no_pool_is_refused_in_the_plan(name: str, eval_obj: Any) -> None:
    found = request_problems(EVALUATORS[name], None, eval_obj)
    assert found and all(where.startswith("eval_obj") for _, where in found)


@pytest.mark.parametrize("name", EVALUATORS)
def test_eval_type_and_pools_are_checked_in_the_plan(name: str, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.touch()
    evaluator = EVALUATORS[name]
    assert request_problems(evaluator, "other", pool) == [("wrong_type", "eval_type")]
    assert request_problems(evaluator, name, pool) == []
    assert request_problems(evaluator, None, pool) == []
    assert request_problems(evaluator, None, "${output:data.path}") == []


def test_several_pools_are_refused_by_an_evaluator_of_one(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        path.touch()
    assert request_problems(NearDuplicates, None, paths) == []
    assert request_problems(TextLikelihood, None, paths) == [("wrong_type", "eval_obj")]
