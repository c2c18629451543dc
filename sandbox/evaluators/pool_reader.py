"""What evaluators of data read through: the samples of a pool, one after another, and their texts."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

STATS = "__dj__stats__"

_BATCH_CHARS = 1 << 20
_BATCH_SAMPLES = 4096


def check_type(eval_type: str | None, only: str) -> None:
    """Refuse an ``eval_type`` other than ``only`` or none.

    Raises:
        ValueError: It is another.
    """
    if eval_type not in (None, only):
        raise ValueError(f"eval_type: {eval_type!r}; available: {only}")


def pool_paths(eval_obj: Any) -> list[Path]:
    """The files of a data set: one path, or several.

    Raises:
        ValueError: ``eval_obj`` is something else.
    """
    paths = [eval_obj] if isinstance(eval_obj, (str, Path)) else eval_obj
    if (
        not isinstance(paths, Sequence)
        or not paths
        or not all(isinstance(path, (str, Path)) for path in paths)
    ):
        raise ValueError(
            f"eval_obj: expected the path of a JSON Lines file, or several, not {eval_obj!r}"
        )
    return [Path(path) for path in paths]


def pool_path(eval_obj: Any) -> Path:
    """The one file of a pool whose samples are scored one by one.

    Raises:
        ValueError: ``eval_obj`` is something else.
    """
    if not isinstance(eval_obj, (str, Path)):
        raise ValueError(
            f"eval_obj: expected the path of one data pool (several: map), not {eval_obj!r}"
        )
    return Path(eval_obj)


def samples(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of every sample; blank lines are left out.

    ``.jsonl.gz`` and ``.jsonl.zst`` are decompressed, ``.parquet`` is read by rows, numbered from 1;
    any other file is JSON Lines.

    Raises:
        ValueError: A line is not a JSON object in UTF-8, or there is no sample.
        FileNotFoundError: There is no such file.
    """
    number = 0
    for number, sample in _parquet(path) if path.suffix == ".parquet" else _lines(path):
        yield number, sample
    if not number:
        raise ValueError(f"no samples in {path}")


def texts(paths: Sequence[Path], text_key: str) -> Iterator[str]:
    """The texts of the files' samples.

    Raises:
        ValueError: As :func:`samples`, or a sample has no text under ``text_key``.
        FileNotFoundError: A file is missing.
    """
    for path in paths:
        for number, sample in samples(path):
            yield text_of(sample, text_key, path, number)


def text_of(sample: dict[str, Any], text_key: str, path: Path, number: int) -> str:
    """A sample's text.

    Raises:
        ValueError: It has none under ``text_key``.
    """
    text = sample.get(text_key)
    if not isinstance(text, str):
        keys = ", ".join(sample) or "none"
        raise ValueError(f"{path}, line {number} has no text under {text_key!r}; keys: {keys}")
    return text


def batches(content: Iterator[str]) -> Iterator[list[str]]:
    """Texts in batches that fit in memory: a limited number of them, and of characters."""
    batch: list[str] = []
    num_chars = 0
    for text in content:
        batch.append(text)
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS or len(batch) >= _BATCH_SAMPLES:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def write_texts(path: Path, text_key: str, target: Path) -> int:
    """Write the texts of a pool alone, ``{"row": 0, "text": …}``, for a worker; return their number.

    Raises:
        ValueError, FileNotFoundError: As :func:`texts`.
    """
    row = -1
    with target.open("w", encoding="ascii") as out:
        for row, text in enumerate(texts([path], text_key)):
            # JSON may hold halves of surrogate pairs, which are no text to a tokenizer.
            readable = text.encode("utf-8", "replace").decode()
            out.write(json.dumps({"row": row, "text": readable}) + "\n")
    return row + 1


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                sample = json.loads(line.decode())
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(sample, dict):
                shown = line[:60].decode(errors="replace").strip()
                raise ValueError(f"{path}, line {number} is no JSON object: {shown}")
            yield number, sample


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            yield file  # type: ignore[misc]
    elif path.suffix == ".zst":
        import io

        import zstandard

        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            yield io.BufferedReader(stream)
    else:
        with path.open("rb") as file:
            yield file


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        batches_of_rows = file.iter_batches(batch_size=_BATCH_SAMPLES)
        yield from enumerate(
            (row for batch in batches_of_rows for row in batch.to_pylist()), start=1
        )
