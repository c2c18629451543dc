"""Metrics of recorded elements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project

from sandbox.store.metrics import read_metrics
from sandbox.store.records import JobRecord


def event(step: int | None, **metrics: float) -> dict[str, Any]:
    """Return one event."""
    return {"metrics": metrics, "step": step}


def write(path: Path, *lines: Any) -> Path:
    """Write events, or damaged lines as they are."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [event(1, loss=3), event(1, rate=2), event(2, loss=1)],
            [event(1, loss=3), event(1, rate=2), event(2, loss=1)],
        ),
        (
            [event(1, loss=3), event(2, loss=2), event(1, loss=4), event(3, loss=1)],
            [event(1, loss=4), event(2, loss=2), event(3, loss=1)],
        ),
        ([event(None, loss=3), event(None, loss=3)], [event(None, loss=3), event(None, loss=3)]),
        (['{"metrics": {"lo', event(1, loss=3), "", '{"metrics": {"a": {}}}'], [event(1, loss=3)]),
    ],
    ids=["in order", "a repeated step", "without steps", "damaged lines"],
)
def test_metrics_are_read_in_order_and_repeated_steps_once(
    tmp_path: Path, lines: list[Any], expected: list[Any]
) -> None:
    assert [*read_metrics(write(tmp_path / "metrics.jsonl", *lines))] == expected


def test_records_of_earlier_versions_hold_the_metrics_themselves() -> None:
    record = JobRecord("x", "0", 1, {}, {}, {}, metrics=[event(1, loss=3)])
    assert [*record.events()] == [event(1, loss=3)]


def test_a_job_whose_metrics_were_changed_runs_again(chain: Project) -> None:
    chain.run("chain")
    chain.ran()
    first = chain.metrics()
    (path,) = chain.records("train")
    write(path.with_name("metrics.jsonl"), event(1, loss=9))
    chain.run("chain")
    assert chain.ran() == ["training data.jsonl small 0.1 0"]
    assert chain.metrics() == first
