"""A trial's side of an asynchronous sweep: its heartbeat, its result, and requests to stop it.

Driver and trial share a folder, whatever launcher and hosts are between them:

<sweep>/<trial>/
    trial.json   by the driver, before the run: this run is a trial
    alive.json   by the trial: its heartbeat
    stop.json    by a driver: the reason why the trial shall end
    result.json  by the trial, last
"""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

from sandbox.system.files import read_json, write_durably
from sandbox.system.liveness import Heartbeat
from sandbox.system.signals import in_main_thread

log = logging.getLogger(__name__)

TRIAL, ALIVE, STOP, RESULT = "trial.json", "alive.json", "stop.json", "result.json"

_POLL_S = 0.5

Values = float | list[float] | None


class TrialStopped(RuntimeError):
    """A driver stopped this trial: it was pruned, ran out of time, or its sweep was interrupted."""


def as_trial(run_dir: Path, work: Callable[[], Values]) -> Values:
    """Do the run in ``run_dir``; where it is a trial of an asynchronous sweep, inform its driver.

    Raises:
        TrialStopped: A driver stopped the trial; its programs were ended.
    """
    if not (run_dir / TRIAL).exists():
        return work()
    with (
        Heartbeat(run_dir / ALIVE),
        _StopListener(run_dir / STOP) as listener,
        _requeue_noted() as is_requeued,
    ):
        try:
            if listener.reason:  # it was given up while it was waiting for its turn
                raise KeyboardInterrupt
            value = work()
            listener.close()
        except KeyboardInterrupt:
            if not listener.reason:
                raise
            _write_result(run_dir, {"state": "stopped", "reason": listener.reason})
            raise TrialStopped(listener.reason) from None
        except Exception as error:
            # A requeued trial goes on in this folder, or its launcher reports why it does not.
            if not is_requeued.is_set():
                # First, because the driver copies the end of the log once it sees the result.
                log.error("failed: %s", _error_text(error))
                _write_result(run_dir, {"state": "failed", "error": _error_text(error)})
            raise
        _write_result(run_dir, {"state": "complete", "value": value})
    return value


def _error_text(error: Exception) -> str:
    name = type(error).__name__
    text = str(error).strip() or name
    return text if isinstance(error, (ValueError, RuntimeError)) else f"{name}: {text}"


def _write_result(run_dir: Path, result: Mapping[str, Any]) -> None:
    write_durably(run_dir / RESULT, json.dumps(result))


@contextmanager
def _requeue_noted() -> Iterator[threading.Event]:
    """Note when submitit receives SIGUSR2: the job's time is over, or its node is wanted.

    Submitit then has SLURM queue the job again and exits, which looks like a failure of the job
    that the run is at.
    """
    received = threading.Event()
    submitits_handler = signal.getsignal(signal.SIGUSR2)
    if not callable(submitits_handler) or not in_main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.set()
        submitits_handler(number, frame)

    signal.signal(signal.SIGUSR2, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGUSR2, submitits_handler)


class _StopListener:
    """Interrupt the block once, when a file appears, if the block runs in the main thread.

    Args:
        path: The file; it holds the reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reason = ""
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._can_interrupt = in_main_thread()
        self._thread = threading.Thread(target=self._listen, name="stop listener", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._can_interrupt &= not self.reason
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def close(self) -> None:
        """Interrupt no more: the work is done."""
        with self._lock:
            self._can_interrupt = False

    def _listen(self) -> None:
        while not self._is_over.wait(_POLL_S):
            self._look()
            if self.reason:
                self._interrupt()
                return

    def _look(self) -> None:
        self.reason = str((read_json(self.path) or {}).get("reason", ""))

    def _interrupt(self) -> None:
        with self._lock:
            if self._can_interrupt:
                self._can_interrupt = False
                # SIGTERM, because the run turns it into an interrupt, which ends its programs.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
