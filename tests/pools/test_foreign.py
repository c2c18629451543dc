"""Pools that would make an unreadable one, or end the process: an error names file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract import scope

from sandbox.pools.lines import DEEPEST
from sandbox.pools.merging import DataPoolMerging
from sandbox.samples import SampleError, read_samples

GOOD = b'{"text": "good [[[["}\n'
BAD = {
    "not UTF-8": b'{"text": "\xff"}',
    "lists": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects": b'{"text": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "cut short": b'{"text": ' + b"[" * 100_000 + b"}",
    "a little too deep": b'{"text": ' + b"[" * DEEPEST + b"]" * DEEPEST + b"}",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_merging_to_parquet_names_a_line_that_is_not_utf8_or_too_deep(
    tmp_path: Path, bad: bytes
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 20_000 + b"\n" + bad + b"\n" + GOOD)
    merging = DataPoolMerging(dataset_paths=[path, path], output_format="parquet")
    with pytest.raises(SampleError, match=r"a\.jsonl:20002: (not UTF-8|nested more than)"):
        merging.run(scope=scope(tmp_path))
    assert not [*tmp_path.rglob("*.parquet")]


def test_many_brackets_side_by_side_or_inside_texts_are_not_nesting(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sample = {"boxes": [[1, 2]] * 2000, "text": '\\"[{' * 2000, "deep": [[[[1]]]]}
    path.write_text(json.dumps(sample) + "\n")
    merged = DataPoolMerging(dataset_paths=[path], output_format="parquet").run(
        scope=scope(tmp_path)
    )
    assert [each for _, each in read_samples(merged.dataset_path)] == [sample]


def test_a_text_in_parquet_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array([b"good"] * 3000 + [b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": texts}), path)
    with pytest.raises(SampleError, match=r"a\.parquet: .* from row \d+: .*UTF8"):
        DataPoolMerging(dataset_paths=[path, path]).run(scope=scope(tmp_path))
    with pytest.raises(SampleError, match=r"a\.parquet: .* from row \d+: .*UTF8"):
        list(read_samples(path))
    assert [*tmp_path.rglob("*.parquet")] == [path]


@pytest.mark.parametrize("name", ["lists", "objects"])
def test_a_line_that_is_nested_too_deep_is_named_by_its_reader(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + BAD[name] + b"\n")
    with pytest.raises(SampleError, match=r"a\.jsonl:2: not valid JSON"):
        list(read_samples(path))
