"""A trial's heartbeat, its result, and its end when a driver stops it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.running.trial import ALIVE, RESULT, STOP, TRIAL, TrialStopped, as_trial
from sandbox.system.files import read_json
from sandbox.system.liveness import Observer, OwnerState


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt, as a run does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a run that a driver has launched."""
    (tmp_path / TRIAL).write_text("{}")
    return tmp_path


def test_a_run_outside_a_sweep_writes_no_trial_files(tmp_path: Path) -> None:
    assert as_trial(tmp_path, lambda: 1.5) == 1.5
    assert [*tmp_path.iterdir()] == []


def test_a_trial_records_its_value(run_dir: Path) -> None:
    assert as_trial(run_dir, lambda: [1.0, 2.0]) == [1.0, 2.0]
    assert read_json(run_dir / RESULT) == {"state": "complete", "value": [1.0, 2.0]}
    assert Observer(run_dir / ALIVE).state() is OwnerState.ENDED


def test_a_failed_trial_records_its_error(run_dir: Path) -> None:
    def work() -> float:
        assert Observer(run_dir / ALIVE).is_alive()
        raise KeyError("loss")

    with pytest.raises(KeyError):
        as_trial(run_dir, work)
    assert read_json(run_dir / RESULT) == {"state": "failed", "error": "KeyError: 'loss'"}


def test_a_trial_that_a_driver_stops_is_interrupted(run_dir: Path) -> None:
    def work() -> float:
        (run_dir / STOP).write_text(json.dumps({"reason": "pruned"}))
        time.sleep(60)
        return 1.0

    with pytest.raises(TrialStopped, match="pruned"):
        as_trial(run_dir, work)
    assert read_json(run_dir / RESULT) == {"state": "stopped", "reason": "pruned"}


def test_a_trial_that_another_driver_repeats_does_not_begin(run_dir: Path) -> None:
    (run_dir / STOP).write_text(json.dumps({"reason": "another driver repeats this trial"}))
    with pytest.raises(TrialStopped):
        as_trial(run_dir, lambda: pytest.fail("it began"))


def test_an_interrupt_from_elsewhere_is_no_result(run_dir: Path) -> None:
    def work() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_trial(run_dir, work)
    assert read_json(run_dir / RESULT) is None
