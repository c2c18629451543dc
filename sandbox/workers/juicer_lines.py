"""Samples on the way into and out of Data-Juicer: checked one by one, their bytes kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sample_files import STATS, SampleError, media_of, numbered_lines, parse_sample, text_of

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def prepare(
    source: Path,
    target: Path,
    given_stats: Path,
    text_keys: Sequence[str],
    media_keys: Sequence[str],
) -> tuple[int, str]:
    """Copy a pool for Data-Juicer, as JSON Lines.

    Media paths become absolute. Statistics that a sample already has move to a file of their own,
    because operators would trust them even if the text has changed since. Everything else stays
    byte for byte.

    Args:
        source: The pool.
        target: The copy.
        given_stats: Receives the statistics of every sample, JSON Lines.
        text_keys: Keys that must hold a text: Data-Juicer silently drops samples without one.
        media_keys: Keys of media paths.

    Returns:
        The number of samples, and a hash of the lines and of size and time of their media files.

    Raises:
        SampleError: A sample is malformed, has no text, or names a missing file.
    """
    num_samples, content = 0, hashlib.sha256()
    with (
        target.open("w", encoding="utf-8", newline="") as out,
        given_stats.open("w", encoding="utf-8") as stats,
    ):
        for number, raw in numbered_lines(source):
            sample = parse_sample(raw, source, number, parse_constant=_refuse)
            line = raw.decode().strip()
            for key in text_keys:
                text_of(sample, key, source, number)
            edits = {}
            for key in media_keys:
                media = media_of(sample, key, source, number)
                content.update(_identities(media, key, source, number).encode())
                if media and media != sample[key]:
                    edits[key] = json.dumps(media, ensure_ascii=False)
            line = replace(line, edits) if edits else line
            if STATS in sample:
                line = _without(line, STATS)
            out.write(line + "\n")
            stats.write(json.dumps(sample.get(STATS) or {}) + "\n")
            content.update(line.encode() + b"\n")
            num_samples += 1
    return num_samples, content.hexdigest()


def replace(text: str, values: Mapping[str, str]) -> str:
    """Replace the values of some keys in a JSON object's text, or add them at its end.

    Args:
        text: The object.
        values: The new values, as JSON.
    """
    found = _spans(text)
    # From the end of the text to its start, so that the other places stay valid.
    for key in sorted(values.keys() & found.keys(), key=lambda key: -found[key][0]):
        start, end = found[key]
        text = text[:start] + values[key] + text[end:]
    new = [f"{json.dumps(key)}: {value}" for key, value in values.items() if key not in found]
    if not new:
        return text
    return text[: text.rindex("}")].rstrip() + (", " if found else "") + ", ".join(new) + "}"


def _without(text: str, key: str) -> str:
    """Remove one key, and the comma that goes with it, from a JSON object's text."""
    start, end = _spans(text)[key]
    head = text[: text.rindex('"' + key + '"', 0, start)].rstrip()
    tail = text[end:].lstrip()
    if tail.startswith(","):
        return head + (" " if head.endswith(",") else "") + tail[1:].lstrip()
    return head.removesuffix(",") + tail


def _spans(text: str) -> dict[str, tuple[int, int]]:
    """Return the beginning and end of every value in a JSON object's text, by its key."""
    found: dict[str, tuple[int, int]] = {}
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        _, end = _DECODER.raw_decode(text, start)
        found[key] = (start, end)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _identities(media: Sequence[str], key: str, source: Path, number: int) -> str:
    """Return path, size and time of local media files, one a line.

    Raises:
        SampleError: A file is missing.
    """
    lines = []
    for name in media:
        if "://" in name:
            continue  # a URL, which an operator fetches or not
        path = Path(name)
        if not path.is_file():
            raise SampleError.at(source, number, f"{key}: there is no file {path}")
        status = path.stat()
        lines.append(f"{path} {status.st_size} {status.st_mtime_ns}\n")
    return "".join(lines)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
