"""Texts of data pools, in batches for numpy or in a file for a worker program; rows of results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.samples import texts

# Large enough for numpy to outweigh Python, small enough that long texts do not fill the memory.
_BATCH_CHARS = 1 << 20
_BATCH_SAMPLES = 4096


def as_paths(pools: Path | Sequence[Path]) -> list[Path]:
    """Return the files of a data set that is given as one pool or as several."""
    return [pools] if isinstance(pools, Path) else list(pools)


def text_batches(paths: Sequence[Path], text_key: str) -> Iterator[list[str]]:
    """Yield texts in batches that fit in memory: limited in samples and in characters.

    Raises:
        SampleError: A sample cannot be read, or has no text under ``text_key``.
    """
    batch: list[str] = []
    num_chars = 0
    for text in texts(paths, text_key):
        batch.append(text)
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS or len(batch) >= _BATCH_SAMPLES:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def write_texts(pool: Path, text_key: str, path: Path) -> int:
    """Write the texts of a pool as ``{"row": 0, "text": …}`` lines; return their number.

    The whole pool is read before a worker starts, so that a bad sample costs no model's start.

    Raises:
        SampleError: A sample cannot be read, or has no text under ``text_key``.
    """
    num_texts = 0
    with path.open("w", encoding="ascii") as out:
        for text in texts([pool], text_key):
            # JSON may hold halves of surrogate pairs, which no tokenizer accepts.
            readable = text.encode("utf-8", "replace").decode()
            out.write(json.dumps({"row": num_texts, "text": readable}) + "\n")
            num_texts += 1
    return num_texts


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write JSON Lines; return ``path``."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path
