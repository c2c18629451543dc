"""Media paths of samples that move to another folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.pools.sampling import Indices

KEYS = ("images", "videos", "audios")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_STRING = rb'"((?:[^"\\]|\\.)*)"'
_LISTS = re.compile(rb'"(images|videos|audios)"\s*:\s*(\[\s*(?:' + _STRING + rb"\s*,?\s*)*\])")
_ITEM = re.compile(_STRING)
_NOT_HTTP = r"h([^t]|t([^t]|t([^p]|p([^s:]|:[^/]|s([^:]|:[^/])))))"
_RELATIVE_LIST = (  # an item that begins with none of / \/ http:/ https:/ s3:/
    r'\[\s*("([^"\\]|\\.)*"\s*,\s*)*'
    rf'"([^/"\\hs]|\\[^/]|s([^3]|3([^:]|:[^/]))|{_NOT_HTTP})'
)
_RELATIVE_MEDIA = r'"(images|videos|audios)"\s*:\s*' + _RELATIVE_LIST


def is_relative(path: str) -> bool:
    """Whether a media path counts from its pool's folder: neither absolute nor a URL."""
    return bool(path) and not path.startswith("/") and not _SCHEME.match(path)


def perhaps_relative(piece: Any, lines: Any) -> Indices:
    """Those of some raw lines, an Arrow array, that perhaps name a relative media path; ascending.

    By RE2, which has no look-ahead. Most pieces, the same bytes as one value, have no list whatever with
    such an item, which shows for 0.1 CPU-s a GB; the lists of media take 0.65, since they begin anywhere.
    """
    import pyarrow.compute as pc

    if not pc.match_substring_regex(piece, _RELATIVE_LIST)[0].as_py():
        return np.zeros(0, dtype=np.int64)
    found = pc.match_substring_regex(lines, _RELATIVE_MEDIA)
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def prefix_of(folder: Path) -> bytes:
    """What comes before a relative path in ``folder``, as JSON spells it."""
    return json.dumps(f"{folder}/", ensure_ascii=False)[1:-1].encode()


def made_absolute(line: bytes, sample: Mapping[str, Any], prefix: bytes) -> bytes:
    """A ``sample``'s line with ``prefix`` before its relative media paths, and nothing else touched."""

    def change_list(found: re.Match[bytes]) -> bytes:
        paths = sample.get(found[1].decode())
        if paths != loads(found[2]):  # one of a nested mapping
            return found[0]
        start = found.start(2) - found.start()
        each = iter(paths)
        return found[0][:start] + _ITEM.sub(
            lambda item: b'"' + prefix + item[1] + b'"' if is_relative(next(each)) else item[0],
            found[2],
        )

    return _LISTS.sub(change_list, line)


def loads(text: bytes) -> Any:
    """What JSON says, by orjson, or by Python where orjson refuses: NaN, numbers of more than 64 bits."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def absolute_columns(table: Any, folder: Path) -> Any:
    """An Arrow table with absolute paths in its columns of media."""
    import pyarrow as pa

    for key in KEYS:
        if key in table.column_names and hasattr(
            table.schema.field(key).type, "value_field"
        ):  # any list
            position, kind = table.column_names.index(key), table.schema.field(key)
            media = [
                list(_absolute(each, folder)) if each else each for each in table[key].to_pylist()
            ]
            table = table.set_column(position, kind, pa.array(media, type=kind.type))
    return table


def _absolute(paths: list[Any], folder: Path) -> Iterator[Any]:
    for path in paths:
        yield f"{folder}/{path}" if isinstance(path, str) and is_relative(path) else path
