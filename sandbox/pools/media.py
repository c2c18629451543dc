"""Media paths of samples that move to another folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.pools.sampling import Indices
from sandbox.samples import MEDIA_KEYS, is_relative, media_folder

_STRING = rb'"((?:[^"\\]|\\.)*)"'
# Searched in raw bytes: a parsed line would lose its spelling when it is written again.
_LISTS = re.compile(rb'"(images|videos|audios)"\s*:\s*(\[\s*(?:' + _STRING + rb"\s*,?\s*)*\])")
_ITEM = re.compile(_STRING)
_NOT_HTTP = r"h([^t]|t([^t]|t([^p]|p([^s:]|:[^/]|s([^:]|:[^/])))))"
# An item that begins with none of / \/ http:/ https:/ s3:/, since RE2 has no look-ahead.
_RELATIVE_LIST = (
    r'\[\s*("([^"\\]|\\.)*"\s*,\s*)*'
    rf'"([^/"\\hs]|\\[^/]|s([^3]|3([^:]|:[^/]))|{_NOT_HTTP})'
)
_RELATIVE_MEDIA = r'"(images|videos|audios)"\s*:\s*' + _RELATIVE_LIST


def perhaps_relative(piece: Any, lines: Any) -> Indices:
    """Find the raw lines that perhaps name a relative media path, in ascending order.

    Args:
        piece: The bytes of the lines, an Arrow array of one value. Most pieces have no list at all
            with such an item, and a search for one costs 0.1 CPU-s a GB; a search for the lists of
            media, which begin anywhere, costs 0.65.
        lines: The same bytes as an Arrow array of lines.
    """
    import pyarrow.compute as pc

    if not pc.match_substring_regex(piece, _RELATIVE_LIST)[0].as_py():
        return np.zeros(0, dtype=np.int64)
    found = pc.match_substring_regex(lines, _RELATIVE_MEDIA)
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def prefix_of(path: Path) -> bytes:
    """Return the text that makes relative paths of a pool absolute, as JSON spells it."""
    return json.dumps(f"{media_folder(path)}/", ensure_ascii=False)[1:-1].encode()


def made_absolute(line: bytes, sample: Mapping[str, Any], prefix: bytes) -> bytes:
    """Return a ``sample``'s line with ``prefix`` before its relative media paths."""

    def change_list(found: re.Match[bytes]) -> bytes:
        paths = sample.get(found[1].decode())
        if paths != json.loads(found[2]):  # the list of a nested mapping
            return found[0]
        start = found.start(2) - found.start()
        each = iter(paths)

        def change_item(item: re.Match[bytes]) -> bytes:
            return b'"' + prefix + item[1] + b'"' if is_relative(next(each)) else item[0]

        return found[0][:start] + _ITEM.sub(change_item, found[2])

    return _LISTS.sub(change_list, line)


def absolute_columns(table: Any, folder: Path) -> Any:
    """Return an Arrow table with absolute paths in its columns of media."""
    import pyarrow as pa

    for key in MEDIA_KEYS:
        position = table.schema.get_field_index(key)
        if position < 0 or not hasattr(table.schema.field(key).type, "value_field"):  # any list
            continue
        field = table.schema.field(key)
        media = [_absolute(paths, folder) for paths in table[key].to_pylist()]
        table = table.set_column(position, field, pa.array(media, type=field.type))
    return table


def _absolute(paths: list[Any] | None, folder: Path) -> list[Any] | None:
    if not paths:
        return paths
    return [
        f"{folder}/{path}" if isinstance(path, str) and is_relative(path) else path
        for path in paths
    ]
