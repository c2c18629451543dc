"""JSON Lines on the way into and out of Data-Juicer: checked line by line, bytes kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker_start import InputError

STATS = "__dj__stats__"

_BLANK = re.compile(r"[ \t\r\n]*")
_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_DECODER = json.JSONDecoder()


def samples(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, text and parsed sample of every line that is not blank.

    Raises:
        InputError: A line is not a JSON object in UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                text = raw.decode().strip()
                sample = json.loads(text, parse_constant=_refuse)
            except ValueError as error:
                raise InputError(f"{path}:{number}: not valid JSON: {error}") from error
            if not isinstance(sample, dict):
                raise InputError(f"{path}:{number}: expected a JSON object, got {text[:60]}")
            yield number, text, sample


def prepare(
    source: Path, target: Path, text_keys: Sequence[str], media_keys: Sequence[str]
) -> tuple[int, str]:
    """Copy a data set for Data-Juicer and return the number of samples and a hash of all that counts.

    The hash covers the lines and size and time of the media files that they name.

    Media paths become absolute, and statistics that a sample already has are left out: operators
    would trust them even where the text has changed since. Everything else stays byte for byte.

    Raises:
        InputError: A line is malformed, has no text (Data-Juicer would drop it without a word), or
            names a file that is not there; or there is no sample at all.
    """
    num_samples, content = 0, hashlib.sha256()
    with target.open("w", encoding="utf-8", newline="") as out:
        for number, text, sample in samples(source):
            for key in text_keys:
                if not isinstance(sample.get(key), str):
                    raise InputError(
                        f"{source}:{number}: expected a text under {key!r}, got {sample.get(key)!r}"
                    )
            edits = {
                key: _media(sample[key], key, source, number, content)
                for key in media_keys
                if sample.get(key)
            }
            changed = {
                key: json.dumps(new, ensure_ascii=False)
                for key, new in edits.items()
                if new != sample[key]
            }
            if STATS in sample:
                changed[STATS] = "{}"
            text = replace(text, changed) if changed else text
            if STATS in changed:
                text = _without(text, STATS)
            out.write(text + "\n")
            content.update(text.encode() + b"\n")
            num_samples += 1
    if num_samples == 0:
        raise InputError(f"{source}: the data set is empty")
    return num_samples, content.hexdigest()


def spans(text: str) -> dict[str, tuple[int, int]]:
    """Where the values of a JSON object's keys begin and end in its text."""
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


def replace(text: str, values: Mapping[str, str]) -> str:
    """A JSON object's text with the values of some keys exchanged, in JSON, or added at its end."""
    found = spans(text)
    for key in sorted(values.keys() & found.keys(), key=lambda key: -found[key][0]):
        start, end = found[key]
        text = text[:start] + values[key] + text[end:]
    new = [f"{json.dumps(key)}: {value}" for key, value in values.items() if key not in found]
    if not new:
        return text
    return text[: text.rindex("}")].rstrip() + (", " if found else "") + ", ".join(new) + "}"


def _without(text: str, key: str) -> str:
    """A JSON object's text without one key (and the comma that goes with it)."""
    found = spans(text)
    start, end = found[key]
    head = text[: text.rindex('"' + key + '"', 0, start)].rstrip()
    tail = text[end:].lstrip()
    if tail.startswith(","):
        return head + (" " if head.endswith(",") else "") + tail[1:].lstrip()
    return head.removesuffix(",") + tail


def _media(paths: Any, key: str, source: Path, number: int, content: Any) -> Any:
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InputError(
            f"{source}:{number}: expected a list of paths under {key!r}, got {paths!r}"
        )
    absolute = []
    for path in paths:
        local = None if _REMOTE.match(path) else source.resolve().parent / path
        if local is not None:
            if not local.is_file():
                raise InputError(f"{source}:{number}: {key}: there is no file {local}")
            stat = local.stat()
            content.update(f"{local} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        absolute.append(path if local is None else str(local))
    return absolute


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
