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
_PERHAPS_RELATIVE = (  # an item that begins with none of / \/ http:/ https:/ s3:/
    r'"(images|videos|audios)"\s*:\s*\[\s*("([^"\\]|\\.)*"\s*,\s*)*'
    rf'"([^/"\\hs]|\\[^/]|s([^3]|3([^:]|:[^/]))|{_NOT_HTTP})'
)


def is_relative(path: str) -> bool:
    """Whether a media path counts from its pool's folder: neither absolute nor a URL."""
    return bool(path) and not path.startswith("/") and not _SCHEME.match(path)


def perhaps_relative(values: Any) -> Indices:
    """Those of some raw lines, an Arrow array, that perhaps name a relative media path; ascending.

    By RE2, which has no look-ahead; 0.8 CPU-s a GB.
    """
    import pyarrow.compute as pc

    found = pc.match_substring_regex(values, _PERHAPS_RELATIVE)
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def made_absolute(line: bytes, sample: Mapping[str, Any], folder: Path) -> bytes:
    """A ``sample``'s line with ``folder`` before its relative media paths, and nothing else touched."""
    prefix = json.dumps(f"{folder}/", ensure_ascii=False)[1:-1].encode()

    def change_item(item: re.Match[bytes]) -> bytes:
        return b'"' + prefix + item[1] + b'"' if is_relative(json.loads(item[0])) else item[0]

    def change_list(found: re.Match[bytes]) -> bytes:
        if sample.get(found[1].decode()) != json.loads(found[2]):  # one of a nested mapping
            return found[0]
        start = found.start(2) - found.start()
        return found[0][:start] + _ITEM.sub(change_item, found[2])

    return _LISTS.sub(change_list, line)


def absolute_columns(table: Any, folder: Path) -> Any:
    """An Arrow table with absolute paths in its columns of media."""
    import pyarrow as pa

    for key in KEYS:
        if key in table.column_names and pa.types.is_list(table.schema.field(key).type):
            position, kind = table.column_names.index(key), table.schema.field(key)
            media = [list(_absolute(each, folder)) if each else each for each in table[key].to_pylist()]
            table = table.set_column(position, kind, pa.array(media, type=kind.type))
    return table


def _absolute(paths: list[Any], folder: Path) -> Iterator[Any]:
    for path in paths:
        yield f"{folder}/{path}" if isinstance(path, str) and is_relative(path) else path
