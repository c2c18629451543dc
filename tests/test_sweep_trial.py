"""A trial's signs of life, its result, and its end when it is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.running.trial import (
    ALIVE,
    RESULT,
    STOP,
    TICKET,
    Observed,
    TrialStopped,
    as_trial,
    read,
)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """As a run does: SIGTERM interrupts."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a run that a driver has launched."""
    (tmp_path / TICKET).write_text("{}")
    return tmp_path


def test_a_run_of_no_sweep_leaves_nothing(tmp_path: Path) -> None:
    assert as_trial(tmp_path, lambda: 1.5) == 1.5
    assert [*tmp_path.iterdir()] == []


def test_a_trial_leaves_its_value(run_dir: Path) -> None:
    assert as_trial(run_dir, lambda: [1.0, 2.0]) == [1.0, 2.0]
    assert read(run_dir / RESULT) == {"state": "complete", "value": [1.0, 2.0]}
    assert Observed(run_dir / ALIVE, 30).is_alive() is False


def test_a_failed_trial_leaves_its_error(run_dir: Path) -> None:
    def work() -> float:
        assert Observed(run_dir / ALIVE, 30).is_alive() is True
        raise KeyError("loss")

    with pytest.raises(KeyError):
        as_trial(run_dir, work)
    assert read(run_dir / RESULT) == {"state": "failed", "error": "KeyError: 'loss'"}


def test_a_trial_that_is_told_to_end_is_interrupted(run_dir: Path) -> None:
    def work() -> float:
        (run_dir / STOP).write_text(json.dumps({"reason": "pruned"}))
        time.sleep(60)
        return 1.0

    with pytest.raises(TrialStopped, match="pruned"):
        as_trial(run_dir, work)
    assert read(run_dir / RESULT) == {"state": "stopped", "reason": "pruned"}


def test_a_trial_that_was_given_up_does_not_begin(run_dir: Path) -> None:
    (run_dir / STOP).write_text(json.dumps({"reason": "another driver repeats this trial"}))
    with pytest.raises(TrialStopped):
        as_trial(run_dir, lambda: pytest.fail("it began"))


def test_an_interrupt_from_elsewhere_is_no_result(run_dir: Path) -> None:
    def work() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_trial(run_dir, work)
    assert read(run_dir / RESULT) is None


def test_a_dead_process_and_one_elsewhere_without_news_are_lost(tmp_path: Path) -> None:
    path = tmp_path / ALIVE
    assert Observed(path, 30).is_alive() is None
    code = (
        "import sys, os; from pathlib import Path; from sandbox.running.trial import SignsOfLife\n"
    )
    code += "SignsOfLife(Path(sys.argv[1])).__enter__(); os._exit(0)"
    subprocess.run(
        [sys.executable, "-c", code, path], check=True, env={**os.environ, "PYTHONPATH": _root()}
    )
    assert Observed(path, 30).is_alive() is False
    signs = {**(read(path) or {}), "process": "another 1 2"}
    path.write_text(json.dumps(signs))
    assert Observed(path, 30).is_alive() is True
    silent = Observed(path, 0.01)
    silent.is_alive()
    time.sleep(0.05)
    assert silent.is_alive() is False
    path.write_text(json.dumps({**signs, "beat": 7}))
    assert silent.is_alive() is True


def _root() -> str:
    return str(Path(__file__).parents[1])
