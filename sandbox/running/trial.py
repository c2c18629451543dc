"""A trial's side of an asynchronous sweep: its signs of life, its result, and how it is told to end.

Driver and trial share a folder, whatever launcher and machines lie between them:

<sweep>/<trial>/  ticket.json  (the driver's: this run is a trial)   stop.json    (a driver's: end, and why)
                  alive.json   (the trial's: it runs, and where)     result.json  (the trial's, written last)
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from sandbox.system import liveness
from sandbox.system.files import write_durably

TICKET, ALIVE, STOP, RESULT = "ticket.json", "alive.json", "stop.json", "result.json"

_LOOK_S = 0.5
_BEAT_S = 2.0
_ENDED = -1

Values = float | list[float] | None


class TrialStopped(RuntimeError):
    """A driver told this trial to end: it was pruned, ran out of time, or its sweep was interrupted."""


def as_trial(run_dir: Path, work: Callable[[], Values]) -> Values:
    """Do the run in ``run_dir``; where that is a trial of an asynchronous sweep, let its driver know.

    Raises:
        TrialStopped: A driver told the trial to end; its programs were ended.
    """
    if not (run_dir / TICKET).exists():
        return work()
    with SignsOfLife(run_dir / ALIVE, run_dir / STOP) as signs, _requeued() as was_requeued:
        try:
            if signs.reason:  # it was given up while it waited for its turn
                raise KeyboardInterrupt
            value = work()
            signs.leave_alone()
        except KeyboardInterrupt:
            if not signs.reason:
                raise
            _write_result(run_dir, {"state": "stopped", "reason": signs.reason})
            raise TrialStopped(signs.reason) from None
        except Exception as error:
            if was_requeued.is_set():  # it goes on in this folder, or its launcher says why not
                raise
            prefix = (
                "" if isinstance(error, (ValueError, RuntimeError)) else f"{type(error).__name__}: "
            )
            text = str(error).strip() or type(error).__name__
            _write_result(run_dir, {"state": "failed", "error": prefix + text})
            raise
        _write_result(run_dir, {"state": "complete", "value": value})
    return value


@contextmanager
def _requeued() -> Iterator[threading.Event]:
    """Whether submitit was told, by SIGUSR2, that the job's time is over or its node is wanted.

    It then has SLURM queue the job again and exits, which a run takes for a failure of the job it is at.
    """
    told = threading.Event()
    submitits = signal.getsignal(signal.SIGUSR2)
    if not callable(submitits) or threading.current_thread() is not threading.main_thread():
        yield told
        return

    def note(number: int, frame: FrameType | None) -> None:
        told.set()
        submitits(number, frame)

    signal.signal(signal.SIGUSR2, note)
    try:
        yield told
    finally:
        signal.signal(signal.SIGUSR2, submitits)


def _write_result(run_dir: Path, result: Mapping[str, Any]) -> None:
    write_durably(run_dir / RESULT, json.dumps(result))


class SignsOfLife:
    """Keeps a file that says that this process lives, while the block lasts.

    Args:
        path: The file.
        stop_path: A file whose appearance interrupts the block once, if it runs in the main thread;
            ``None`` is none.
    """

    def __init__(self, path: Path, stop_path: Path | None = None) -> None:
        self.path = path
        self.reason = ""
        self._stop_path = stop_path
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._can_be_interrupted = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._beat, name="signs of life", daemon=True)

    def __enter__(self) -> Self:
        self._write(0)
        self._look()
        self._can_be_interrupted &= not self.reason
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._write(_ENDED)

    def leave_alone(self) -> None:
        """Interrupt no more: the work is done."""
        with self._lock:
            self._can_be_interrupted = False

    def _beat(self) -> None:
        number, due = 0, time.monotonic() + _BEAT_S
        while not self._is_over.wait(_LOOK_S):
            self._look()
            if self.reason:
                self._interrupt()
            if time.monotonic() >= due:
                number, due = number + 1, time.monotonic() + _BEAT_S
                with contextlib.suppress(OSError):  # a full disk, say; the next may be written
                    self._write(number)

    def _write(self, number: int) -> None:
        signs = {"process": liveness.this_process(), "pid": os.getpid(), "host": platform.node()}
        signs["beat"] = number
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(signs))
        temporary.replace(self.path)

    def _look(self) -> None:
        if self._stop_path is not None and not self.reason:
            self.reason = str((read(self._stop_path) or {}).get("reason", ""))

    def _interrupt(self) -> None:
        with self._lock:
            if not self._can_be_interrupted:
                return
            self._can_be_interrupted = False
            # SIGTERM, because the run turns that into an interrupt, which ends the programs that it started
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


class Observed:
    """Whether the process behind a file of signs lives, as far as that can be told from here.

    On the same machine its process is looked for. On another one its signs must change: both clocks
    count, not what they show.

    Args:
        path: The file of signs.
        lost_after_s: Seconds without a new sign, after which a process elsewhere counts as lost.
    """

    def __init__(self, path: Path, lost_after_s: float) -> None:
        self.path = path
        self.lost_after_s = lost_after_s
        self._first_look = time.monotonic()
        self._last: tuple[Any, float] = (None, self._first_look)

    @property
    def seconds(self) -> float:
        """How long it has been observed."""
        return time.monotonic() - self._first_look

    def is_alive(self) -> bool | None:
        """``None``: it has given no sign yet."""
        signs = read(self.path)
        if signs is None:
            return None
        if signs["beat"] == _ENDED:
            return False
        is_here = liveness.lives(signs["process"])
        if is_here is not None:
            return is_here
        if signs["beat"] != self._last[0]:
            self._last = signs["beat"], time.monotonic()
        return time.monotonic() - self._last[1] < self.lost_after_s


def read(path: Path) -> dict[str, Any] | None:
    """A small JSON file; ``None`` while it is not there, or not whole after a crash of its machine."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):  # on NFS also one that was replaced this very moment
        return None
    return data
