"""What all evaluators of data say about a pool that cannot be read, and the formats that they read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.near_duplicates import NearDuplicates
from sandbox.evaluators.pool_distance import PoolDistance
from sandbox.evaluators.pool_reader import texts
from sandbox.evaluators.statistic_distributions import StatisticDistributions
from sandbox.evaluators.text_diversity import TextDiversityEvaluator
from sandbox.evaluators.text_likelihood import TextLikelihood

Make = Callable[[Path], BaseEvaluator]
EVALUATORS: dict[str, Make] = {
    "text_diversity": lambda _: TextDiversityEvaluator(),
    "near_duplicates": lambda _: NearDuplicates(),
    "statistic_distributions": lambda _: StatisticDistributions(),
    "pool_distance": PoolDistance,
    "text_likelihood": lambda good: TextLikelihood(good.parent),
}
BAD = {
    "cut off": ('{"text": "a"}\n\n{"text": ', "line 3 is not JSON"),
    "no UTF-8": (b'{"text": "a"}\n{"text": "\xff"}\n', "line 2 is not JSON"),
    "other key": (
        '{"caption": "a", "id": 1}\n',
        "line 1 has no text under 'text'; keys: caption, id",
    ),
    "null": ('{"text": null}\n', "no text under 'text'"),
    "no object": ("[1]\n", r"line 1 is no JSON object: \[1\]"),
    "empty": ("\n\n", "no samples in"),
}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_text('{"text": "a"}\n')
    (tmp_path / "config.json").write_text(
        "{}"
    )  # as far as can be seen from outside, a checkpoint too
    return path


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("bad", BAD)
def test_a_sample_that_cannot_be_read_is_named(
    name: str, bad: str, good: Path, tmp_path: Path
) -> None:
    content, message = BAD[bad]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    with pytest.raises(ValueError, match=message) as failure:
        EVALUATORS[name](good).run(None, path, output_dir=output_dir)
    assert str(path) in str(failure.value)
    assert not list(output_dir.iterdir()), "nothing is left half-way"


@pytest.mark.parametrize("name", EVALUATORS)
def test_what_is_no_pool_is_refused(name: str, good: Path, tmp_path: Path) -> None:
    evaluator = EVALUATORS[name](good)
    for eval_obj in (None, 3, [], [{"text": "a"}]):
        with pytest.raises(ValueError, match="eval_obj"):
            evaluator.run(None, eval_obj, output_dir=tmp_path)
    with pytest.raises(ValueError, match=f"available: {name}"):
        evaluator.run("other", good, output_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        evaluator.run(None, tmp_path / "missing.jsonl", output_dir=tmp_path)


def test_formats_hold_the_same_samples(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq
    import zstandard

    rows = [{"text": text} for text in ("first", "zweiter\u2028Text", "第三")]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    contents: dict[str, Any] = {
        "a.jsonl": lines,
        "a.jsonl.gz": gzip.compress(lines),
        "a.jsonl.zst": zstandard.ZstdCompressor().compress(lines),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    pq.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in (*contents, "a.parquet"):
        assert list(texts([tmp_path / name], "text")) == [row["text"] for row in rows], name
