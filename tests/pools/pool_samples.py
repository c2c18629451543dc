"""Samples that the tests of pools are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MakePool = Callable[..., Path]
STATS = "__dj__stats__"


def sample(number: int, **stats: Any) -> str:
    # odd spelling on purpose: it must come out as it went in
    return f'{{"id":{number}, "text" : "é\\u00e9 1.50",  "{STATS}": {json.dumps(stats)}}}'


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]
