"""Metrics of an element: one line each in ``metrics.jsonl``, written while its attempt runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.job import numbers

METRICS_NAME = "metrics.jsonl"

Event = Mapping[str, Any]
"""``{"metrics": {"loss": 0.5}, "step": 10}``; the step may be ``None``."""


def metrics_event(line: str | bytes) -> Event | None:
    """Return one line of an attempt's metrics; ``None`` if a crash or a full disk damaged it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match event:
        case {"metrics": dict(metrics), "step": int() | None as step}:
            if numbers(metrics).keys() == metrics.keys():  # flat, and nothing but numbers
                return {"metrics": metrics, "step": step}
    return None


def read_metrics(path: Path) -> Iterator[Event]:
    """Yield the metrics of a file in order; of a step that was repeated, the last.

    Only where steps repeat, as after an interruption, are they held in memory.
    """
    if _steps_ascend(path):
        yield from _events(path)
        return
    kept: dict[tuple[Any, ...], Event] = {}
    for index, event in enumerate(_events(path)):
        # metrics without a step have no identity but their position
        step = str(index) if event["step"] is None else event["step"]
        kept[(step, *event["metrics"])] = event
    yield from kept.values()


def _steps_ascend(path: Path) -> bool:
    """Return True if no metrics come twice for the same step."""
    last: dict[tuple[str, ...], int] = {}
    for event in _events(path):
        step, names = event["step"], tuple(event["metrics"])
        if step is None:
            continue
        if step <= last.get(names, step - 1):
            return False
        last[names] = step
    return True


def _events(path: Path) -> Iterator[Event]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            event = metrics_event(line)
            if event is not None:
                yield event
