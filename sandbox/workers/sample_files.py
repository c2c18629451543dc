"""Samples of data pools in every format, one at a time: the reader of the launcher and of workers.

Only the standard library is imported here, so that a worker in any environment can use this module
as a sibling. ``zstandard`` and ``pyarrow`` are imported for the pools that need them.
"""

from __future__ import annotations

import datetime
import functools
import gzip
import importlib
import itertools
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

# fmt: off
__all__ = [
    "FORMATS", "MEDIA_KEYS", "POOL_SUFFIXES", "STATS", "SampleError", "base_name", "format_of",
    "is_pool", "is_relative", "json_chunks", "media_folder", "media_of", "numbered_lines",
    "parquet_batches", "parse_sample", "read_lines", "read_samples", "require", "shards", "shown",
    "stats_beside", "text_of", "texts",
]
# fmt: on

T = TypeVar("T")
Samples = Iterator[tuple[int, dict[str, Any]]]

STATS = "__dj__stats__"
"""Key of a sample's statistics, as Data-Juicer writes them."""

MEDIA_KEYS = ("images", "videos", "audios")
"""Keys of a sample's lists of media paths, as Data-Juicer writes them."""

FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")
POOL_SUFFIXES = tuple(f".{each}" for each in FORMATS)
_ENDINGS = {".gz": "jsonl.gz", ".zst": "jsonl.zst", ".parquet": "parquet"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CHUNK = 1 << 20
_PACKED_CHUNK = 16 << 10  # small, because a compressed chunk is unpacked as a whole
_ROWS = 1024  # few, because rows may hold pictures
_LONGEST_LINE = 256 << 20  # a sample may hold pictures; a packed file of zeros must end
_LONGEST_MESSAGE, _LONGEST_PATH = 200, 120


class SampleError(ValueError):
    """A data pool, or one of its samples, cannot be used.

    The message has one form everywhere, ``<path>:<number>: <reason>``, and at most 200 characters.
    """

    @classmethod
    def at(cls, path: Path, number: int | None, reason: str) -> SampleError:
        """Make the error for a line, or a row of Parquet, from 1, or with ``None`` for the pool."""
        place = str(path)
        if len(place) > _LONGEST_PATH:
            place = f"…{place[1 - _LONGEST_PATH :]}"
        if number is not None:
            place += f":{number}"
        message = f"{place}: {' '.join(reason.split())}"
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[: _LONGEST_MESSAGE - 1]}…"
        return cls(message)


def format_of(path: Path) -> str:
    """Return the format of a pool, one of :data:`FORMATS`, by its name.

    A folder has the format of its first shard. A name without a known extension is JSON Lines.
    """
    if path.is_dir():
        path = shards(path)[0]
    return _ENDINGS.get(path.suffix.lower(), "jsonl")


def is_pool(path: Path | str) -> bool:
    """True if the name is that of a pool file."""
    return str(path).lower().endswith(POOL_SUFFIXES)


def base_name(path: Path) -> str:
    """Return a pool's name without its extensions; ``my.data.v1`` has none and keeps its name."""
    name = path.name
    for ending in (".gz", ".zst", ".jsonl", ".json", ".parquet"):
        name = name.removesuffix(ending)
    return name


def shards(path: Path) -> list[Path]:
    """Return the files of a pool: itself, or the pool files in a folder, sorted by name.

    Files of statistics that belong to a shard beside them, and hidden files, are no shards.

    Raises:
        FileNotFoundError: The pool is missing.
        SampleError: The folder has no shard.
    """
    if not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(f"there is no data pool {path}, no regular file and no folder")
        return [path]
    found = [each for each in sorted(path.glob("[!.]*")) if is_pool(each) and each.is_file()]
    statistics = {f"{base_name(each)}_stats" for each in found}
    kept = [each for each in found if base_name(each) not in statistics]
    if not kept:
        raise SampleError.at(path, None, f"no shard in this folder ({', '.join(POOL_SUFFIXES)})")
    return kept


def stats_beside(path: Path) -> Path | None:
    """Return Data-Juicer's separate file of a pool's statistics, ``<pool>_stats.jsonl``, if any."""
    beside = path.with_name(f"{base_name(path)}_stats.jsonl")
    return beside if beside != path and beside.is_file() else None


def read_samples(path: Path, *, with_stats: bool = True) -> Samples:
    """Yield the number and the content of every sample of a pool, from disk as they are asked for.

    Numbers are those of lines, or of rows in Parquet, from 1; in a folder of shards they run on.
    Blank lines are left out.

    Args:
        path: The pool: a file in one of :data:`FORMATS`, or a folder of such shards.
        with_stats: Add the statistics that a file beside the pool holds, see :func:`stats_beside`,
            unless the first sample has some already.

    Raises:
        SampleError: A line is not a JSON object in UTF-8, the file is damaged, the file of
            statistics does not fit, or there is no sample at all.
        FileNotFoundError: The pool is missing.
        ModuleNotFoundError: The package that reads the format is not installed.
    """
    return _numbered(path, lambda shard: _shard_samples(shard, with_stats))


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number of every sample, as :func:`read_samples` does, and its line of JSON.

    The line has no line end. JSON Lines are neither changed nor checked, the rows of Parquet are
    written as JSON, blank lines are left out. Raises as :func:`read_samples` does.
    """
    return _numbered(path, _lines)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of :func:`numbered_lines` without their numbers."""
    return (line for _, line in numbered_lines(path))


def parse_sample(
    line: bytes, path: Path, number: int, *, parse_constant: Callable[[str], Any] | None = None
) -> dict[str, Any]:
    """Return the sample of a line.

    Python's own parser, because orjson turns whole numbers above 64 bits into other ones.
    ``parse_constant`` is called for ``NaN`` and ``Infinity``, which are accepted without it.

    Raises:
        SampleError: The line is not a JSON object in UTF-8.
    """
    try:
        # Twice as fast as json.loads, which searches for white space on both sides.
        text = line.decode().strip(" \t\r\n")
        sample, end = _decoder(parse_constant).raw_decode(text)
        if end < len(text):
            raise ValueError(f"extra data from character {end + 1}")
    except (ValueError, RecursionError) as error:
        raise SampleError.at(path, number, f"not valid JSON: {error}") from error
    if not isinstance(sample, dict):
        raise SampleError.at(path, number, f"expected a JSON object, got {shown(line)}")
    return sample


@functools.lru_cache(maxsize=8)
def _decoder(parse_constant: Callable[[str], Any] | None) -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=parse_constant)


def text_of(sample: Mapping[str, Any], key: str, path: Path, number: int) -> str:
    """Return a sample's text.

    Raises:
        SampleError: There is no text under ``key``.
    """
    text = sample.get(key)
    if not isinstance(text, str):
        reason = f"no text under {key!r}; keys: {', '.join(sample) or 'none'}"
        if key in sample:
            reason = f"expected a text under {key!r}, got {shown(text)}"
        raise SampleError.at(path, number, reason)
    return text


def texts(paths: Iterable[Path], key: str) -> Iterator[str]:
    """Yield the texts of several pools, one pool after another; raises as :func:`read_samples`."""
    for path in paths:
        for number, sample in read_samples(path, with_stats=False):
            yield text_of(sample, key, path, number)


def media_of(sample: Mapping[str, Any], key: str, path: Path, number: int) -> list[str]:
    """Return a sample's media under ``key``, such as ``images``: absolute paths and URLs.

    Relative paths count from the pool's folder, as in Data-Juicer. A missing key or ``None`` means
    no media; a single text is a list of one.

    Raises:
        SampleError: The value is not a list of paths.
    """
    media = sample.get(key)
    if media is None:
        return []
    media = [media] if isinstance(media, str) else media
    if not isinstance(media, list) or not all(isinstance(each, str) for each in media):
        raise SampleError.at(path, number, f"expected a list of paths under {key!r}, got {media!r}")
    folder = media_folder(path)
    return [f"{folder}/{each}" if is_relative(each) else each for each in media]


def media_folder(path: Path) -> Path:
    """Return the folder that a pool's relative media paths count from."""
    return path.absolute() if path.is_dir() else path.absolute().parent


def is_relative(media: str) -> bool:
    """True if a media path counts from its pool's folder: it is neither absolute nor a URL."""
    return bool(media) and not media.startswith("/") and not _SCHEME.match(media)


def json_chunks(path: Path) -> Iterator[bytes]:
    """Yield a pool file as JSON Lines, in pieces that end anywhere; raises as its readers do."""
    kind = format_of(path)
    if kind == "parquet":
        start = 1
        for batch in parquet_batches(path, _ROWS):
            yield b"".join(_json_lines(batch.to_pylist(), path, start))
            start += batch.num_rows
        return
    with path.open("rb") as file:
        yield from _pieces(file) if kind == "jsonl" else _unpacked(path, kind, file)


def parquet_batches(
    path: Path, num_rows: int, columns: Callable[[Any], list[str]] | None = None
) -> Iterator[Any]:
    """Yield the rows of a Parquet file as Arrow batches; ``columns`` may choose from its schema."""
    parquet, arrow = require("pyarrow.parquet", path), require("pyarrow", path)
    row = 1
    try:
        with parquet.ParquetFile(path) as file:
            chosen = columns(file.schema_arrow) if columns else None
            for batch in file.iter_batches(num_rows, columns=chosen):
                batch.validate(full=True)  # texts, and names, that are not UTF-8
                _ = batch.schema.names
                yield batch
                row += batch.num_rows
    except (arrow.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the disk; Arrow has no number
            raise
        reason = f"cannot be read as Parquet from row {row}: {error}"
        raise SampleError.at(path, None, reason) from error


def require(module: str, path: Path) -> Any:
    """Import a package that a pool's format needs, or name it, the extra and the environment."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ModuleNotFoundError(
            f"{path.name} needs {package}, which is not installed in {sys.prefix}; "
            "pip install 'sandbox[data]'",
            name=package,
        ) from error


def shown(value: Any) -> str:
    """Return the beginning of a value, for messages."""
    text = value.decode(errors="replace").strip() if isinstance(value, bytes) else value
    spelled = repr(text)
    return spelled if len(spelled) <= 64 else f"{spelled[:63]}…"


def _numbered(
    path: Path, read: Callable[[Path], Iterator[tuple[int, T]]]
) -> Iterator[tuple[int, T]]:
    """Yield the samples of all shards, with numbers that run on from shard to shard."""
    before, is_empty = 0, True
    for shard in shards(path):
        number = 0
        for number, sample in read(shard):
            yield before + number, sample
            is_empty = False
        before += number
    if is_empty:
        raise SampleError.at(path, None, "the data pool is empty")


def _shard_samples(path: Path, with_stats: bool) -> Samples:
    if format_of(path) == "parquet":
        batches = (batch.to_pylist() for batch in parquet_batches(path, _ROWS))
        samples: Samples = enumerate(itertools.chain.from_iterable(batches), start=1)
    else:
        samples = _json_samples(path)
    beside = stats_beside(path) if with_stats else None
    return samples if beside is None else _with_statistics(path, samples, beside)


def _json_samples(path: Path) -> Samples:
    for number, line in _lines(path):
        yield number, parse_sample(line, path, number)


def _with_statistics(path: Path, samples: Samples, beside: Path) -> Samples:
    """Add the statistics of a file beside, line by line, unless the first sample has its own."""
    first = next(samples, None)
    if first is None:
        return
    samples = itertools.chain([first], samples)
    if STATS in first[1]:
        yield from samples
        return
    for own, other in itertools.zip_longest(samples, _json_samples(beside)):
        if own is None or other is None:
            raise SampleError.at(beside, None, f"expected as many samples as {path.name} has")
        if STATS not in other[1]:
            raise SampleError.at(beside, other[0], f"no statistics under {STATS!r}")
        yield own[0], {**own[1], STATS: other[1][STATS]}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of every line that is not blank, without its end."""
    number = 0
    begun: list[bytes] = []  # of one line, which may be longer than many chunks
    for chunk in itertools.chain(json_chunks(path), [b"\n"]):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if sum(map(len, begun)) > _LONGEST_LINE:
            raise SampleError.at(path, number + 1, f"the line has over {_LONGEST_LINE:,} bytes")
        if not others:
            continue
        last = others.pop()
        for line in (b"".join(begun), *others):
            number += 1
            if line.strip():
                yield number, line
        begun = [last]


def _unpacked(path: Path, kind: str, file: BinaryIO) -> Iterator[bytes]:
    damage: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
    if kind == "jsonl.gz":
        pieces = _pieces(gzip.GzipFile(fileobj=file))
    else:
        zstandard = require("zstandard", path)
        pieces, damage = _frames(file, zstandard), (EOFError, zstandard.ZstdError)
    try:
        yield from pieces
    except damage as error:
        raise SampleError.at(path, None, f"cannot be unpacked: {error}") from error


def _pieces(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


def _frames(packed: BinaryIO, zstandard: Any) -> Iterator[bytes]:
    """Yield the frames of a Zstandard file, one by one.

    The library's own streams do not report a last frame that is cut off.
    """
    frame: Any = None
    while chunk := packed.read(_PACKED_CHUNK):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = b""
            if frame.eof:
                chunk, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the file ends before its end-of-frame marker")


def _json_lines(rows: Iterable[Mapping[str, Any]], path: Path, start: int) -> Iterator[bytes]:
    def spelled(value: Any) -> str:
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        raise TypeError(f"{type(value).__name__} cannot be written as JSON Lines; write Parquet")

    for number, row in enumerate(rows, start):
        try:
            line = json.dumps(row, ensure_ascii=False, default=spelled)
        except TypeError as error:
            raise SampleError.at(path, number, str(error)) from error
        yield line.encode() + b"\n"
