"""Texts of data pools, in batches for numpy or in a file for a worker program; rows of results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.samples import texts

# Large enough for numpy to outweigh Python, small enough that long texts do not fill the memory.
_BATCH_CHARS = 1 << 20
_BATCH_SAMPLES = 4096
_MARK = re.compile(r"<__dj__\w+>|<\|__dj__\w+\|>")

DataSet = Path | Sequence[Path]
"""A data set as evaluators take it: one pool, or several."""


def as_paths(data_set: DataSet) -> list[Path]:
    """Return the pools of a data set."""
    return [data_set] if isinstance(data_set, Path) else list(data_set)


def clean(text: str) -> str:
    """Remove Data-Juicer's marks (``<__dj__image>``) and surrounding white space."""
    # The search for a plain string is cheaper than the expression, and most texts have no mark.
    return _MARK.sub("", text).strip() if "__dj__" in text else text.strip()


def text_batches(paths: Sequence[Path], text_key: str) -> Iterator[list[str]]:
    """Yield the texts of pools, cleaned, in batches."""
    return in_batches(texts(paths, text_key))


def in_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts, cleaned, in batches that fit in memory: limited in samples and in characters."""
    batch: list[str] = []
    num_chars = 0
    for text in texts:
        batch.append(clean(text))
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS or len(batch) >= _BATCH_SAMPLES:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def write_texts(pool: Path, text_key: str, path: Path) -> int:
    """Write the texts of a pool as ``{"row": 0, "text": …}`` lines; return their number.

    The whole pool is read before a worker starts, so that a bad sample costs no model's start.
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
