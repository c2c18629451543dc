"""Small data pools for tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import pytest


def write_texts(path: Path, texts: Iterable[str]) -> Path:
    """Write a pool of samples that have a text only."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def repacked(path: Path, ending: str) -> Path:
    """Write a JSON Lines pool beside itself in another format; ``shards`` is a folder of files."""
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    packed = path.with_suffix(f".{ending}")
    if ending == "jsonl.gz":
        packed.write_bytes(gzip.compress(b"".join(lines)))
    elif ending == "jsonl.zst":
        packed.write_bytes(pytest.importorskip("zstandard").compress(b"".join(lines)))
    elif ending == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(
            pytest.importorskip("pyarrow").Table.from_pylist([json.loads(line) for line in lines]),
            packed,
        )
    else:
        packed.mkdir()
        for number, line in enumerate(lines):
            (packed / f"part-{number:03}.jsonl").write_bytes(line)
    return packed
