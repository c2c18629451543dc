"""Samples of data pools, of CSV with a header, and of text files with one sample a line."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.samples import POOL_SUFFIXES, SampleError, is_pool, json_chunks, read_samples, shards

TABLE_SUFFIXES = (".csv", ".txt")
DATA_SUFFIXES = (*POOL_SUFFIXES, *TABLE_SUFFIXES)
"""Endings of data files; ``.gz`` or ``.zst`` may follow each but ``.parquet``."""

_LONGEST_FIELD = 256 << 20  # as of a line in JSON Lines; Python's own limit is 128 kB

Samples = Iterator[tuple[int, dict[str, Any]]]


def kind_of(path: Path) -> str:
    """Return ``pool``, ``csv`` or ``txt`` by the name of a file, compressed or not; else ``""``."""
    if is_pool(path):
        return "pool"
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return next((ending[1:] for ending in TABLE_SUFFIXES if name.endswith(ending)), "")


def data_files(path: Path) -> list[Path]:
    """Return the files of a data set: itself, or the files of one kind in a folder, by name.

    Raises:
        ValueError: The name of a file has no ending of :data:`DATA_SUFFIXES`, or a folder holds no
            file with one, or files of several kinds.
        FileNotFoundError: There is nothing at ``path``.
    """
    if not path.is_dir():
        if not kind_of(path):
            raise ValueError(f"{path.name} has none of the endings {', '.join(DATA_SUFFIXES)}")
        return shards(path)
    found = [each for each in sorted(path.glob("[!.]*")) if each.is_file() and kind_of(each)]
    by_kind = {kind_of(each): each.name for each in reversed(found)}
    if not by_kind:
        raise ValueError(f"the folder {path} has no file that ends in {', '.join(DATA_SUFFIXES)}")
    if len(by_kind) > 1:
        names = ", ".join(sorted(by_kind.values()))
        raise ValueError(f"the folder {path} has files of several kinds: {names}; choose one")
    return shards(path) if "pool" in by_kind else found


def read_rows(path: Path) -> Samples:
    """Yield the number and the content of every sample of a data pool, a CSV or a text file.

    Numbers are those of lines; of a row over several lines in CSV, of the last. A line of a text
    file becomes ``{"text": …}``.

    Args:
        path: The file, or of a pool also a folder.

    Raises:
        SampleError: The file is damaged or not UTF-8, or a row of CSV has more fields than the
            header.
    """
    kind = kind_of(path)
    if kind == "csv":
        return _csv_rows(path)
    if kind == "txt":
        lines = enumerate(_lines(path), start=1)
        return ((number, {"text": line.rstrip("\r\n")}) for number, line in lines)
    return read_samples(path, with_stats=False)


def _csv_rows(path: Path) -> Samples:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.DictReader(_lines(path), strict=True)
    try:
        for row in reader:
            if None in row:
                reason = (
                    f"more fields than the header has columns, {len(reader.fieldnames or ())}; "
                    'a text with commas stands in "quotes"'
                )
                raise SampleError.at(path, reader.reader.line_num, reason)
            yield reader.reader.line_num, row
    except csv.Error as error:
        raise SampleError.at(
            path, reader.reader.line_num, f"cannot be read as CSV: {error}"
        ) from error


def _lines(path: Path) -> Iterator[str]:
    """Yield lines with their ends, without the byte order mark of spreadsheet programs."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    number, rest = 1, ""
    try:
        for chunk in json_chunks(path):
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            number += len(lines)
            yield from (f"{line}\n" for line in lines)
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        reason = f"from here on not UTF-8: {error.reason}"
        raise SampleError.at(path, number, reason) from error
    if rest:
        yield rest
