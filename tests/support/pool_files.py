"""Small data pools for tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.samples import STATS

FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "shards")
"""Formats of a pool; ``shards`` is a folder of JSON Lines files."""


def write_texts(path: Path, texts: Iterable[str]) -> Path:
    """Write a pool of samples that have a text only."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def write_pool(
    folder: Path,
    name: str,
    samples: Sequence[Mapping[str, Any]],
    ending: str,
    *,
    stats_beside: bool = False,
) -> Path:
    """Write a pool in a format; ``stats_beside`` puts statistics into files of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    if ending == "shards":
        for number, sample in enumerate(samples):
            shard = f"part-{number:03}"
            write_pool(folder / name, shard, [sample], "jsonl", stats_beside=stats_beside)
        return folder / name
    if stats_beside:
        stats = [{STATS: sample[STATS]} for sample in samples]
        (folder / f"{name}_stats.jsonl").write_bytes(b"".join(_lines(stats)))
        samples = [
            {key: value for key, value in sample.items() if key != STATS} for sample in samples
        ]
    path = folder / f"{name}.{ending}"
    _pack(path, _lines(samples), ending)
    return path


def repacked(path: Path, ending: str) -> Path:
    """Write a JSON Lines pool beside itself in another format."""
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    packed = path.with_suffix(f".{ending}")
    if ending == "shards":
        packed.mkdir()
        for number, line in enumerate(lines):
            (packed / f"part-{number:03}.jsonl").write_bytes(line)
    else:
        _pack(packed, lines, ending)
    return packed


def _lines(samples: Iterable[Mapping[str, Any]]) -> list[bytes]:
    return [json.dumps(sample).encode() + b"\n" for sample in samples]


def _pack(path: Path, lines: Sequence[bytes], ending: str) -> None:
    if ending == "parquet":
        rows = [json.loads(line) for line in lines]
        table = pytest.importorskip("pyarrow").Table.from_pylist(rows)
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    elif ending == "jsonl.zst":
        path.write_bytes(pytest.importorskip("zstandard").compress(b"".join(lines)))
    elif ending == "jsonl.gz":
        path.write_bytes(gzip.compress(b"".join(lines)))
    else:
        path.write_bytes(b"".join(lines))
