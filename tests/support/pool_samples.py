"""Samples that the tests of pools are made of, and how a job runs a manipulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract import scope

from sandbox.samples import STATS

MakePool = Callable[..., Path]


def sample(number: int, **stats: Any) -> str:
    # odd spelling on purpose: it must come out as it went in
    return f'{{"id":{number}, "text" : "é\\u00e9 1.50",  "{STATS}": {json.dumps(stats)}}}'


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def run(manipulator: type, output_dir: Path, **arguments: Any) -> Any:
    """Run a manipulator as a job does; its pools are written into ``output_dir``."""
    output_dir.mkdir(exist_ok=True)
    inside = replace(scope(output_dir.parent), output_dir=output_dir)
    return manipulator(**arguments).run(scope=inside)
