"""The program of a SLURM job: one item, until it is done or the cluster wants its node back."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Generic

from sandbox.compute import T
from sandbox.compute.slurm import queue, result
from sandbox.system import process

log = logging.getLogger(__name__)

_EARLY_S = 65.0  # SLURM sends the signal that announces the time limit up to a minute early


class NodeTask(Generic[T]):
    """Run one item in a SLURM job; the return value is the item's error or ``None``.

    A signal that announces the time limit or a preemption interrupts the item, which ends its
    programs, and then puts the job back into the queue: the next attempt goes on in the same
    folder. SIGTERM (scancel, or a preemption after which SLURM itself requeues) only interrupts the
    item. In both cases nothing is returned.

    Args:
        function: Called with the item.
        level: Level of the log.
        cpus: CPUs of the job, and the number of threads that libraries use.
        timeout_min: Time limit of the job.
        signal_delay_s: Seconds before the limit at which the signal comes.
        max_num_timeout: How often a job may start again after its time limit.
    """

    def __init__(
        self,
        function: Callable[[T], None],
        *,
        level: int,
        cpus: int,
        timeout_min: int,
        signal_delay_s: int,
        max_num_timeout: int,
    ) -> None:
        self.function = function
        self.level = level
        self.cpus = cpus
        self.timeout_min = timeout_min
        self.signal_delay_s = signal_delay_s
        self.max_num_timeout = max_num_timeout
        self._received = 0

    def __call__(self, item: T) -> Exception | None:
        started = time.monotonic()
        os.environ["OMP_NUM_THREADS"] = str(self.cpus)
        logging.basicConfig(
            level=self.level, format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S"
        )
        logging.getLogger("submitit").propagate = False  # it has a handler of its own
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._interrupt)
        try:
            self.function(item)
        except KeyboardInterrupt:
            name = signal.Signals(self._received).name if self._received else "an interrupt"
            log.info("%s after %.0f s: ended", name, time.monotonic() - started)
            if self._received != signal.SIGUSR2:
                raise SystemExit(1) from None
            return self._requeue(time.monotonic() - started)
        except Exception as error:
            return portable(error)
        return None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._received:  # a second signal must not disturb the clean-up
            self._received = number
            raise KeyboardInterrupt

    def _requeue(self, seconds: float) -> Exception:
        """Put the job back into the queue and leave; return only the error that prevents it."""
        from submitit import JobEnvironment

        # Its id is <array>_<index>; the plain number of an element may stand for the whole array.
        job = JobEnvironment()
        has_timed_out = seconds >= self.timeout_min * 60 - self.signal_delay_s - _EARLY_S
        if has_timed_out:
            num_times = _count(job.paths.folder / "timeouts")
            if num_times > self.max_num_timeout:
                return RuntimeError(
                    f"came to its time limit {num_times} times (timeout_min is {self.timeout_min},"
                    f" max_num_timeout {self.max_num_timeout})"
                )
        try:
            queue.requeue(job.job_id)
        except process.ProcessError as error:
            if has_timed_out:
                return RuntimeError(f"came to its time limit and could not be requeued: {error}")
            log.info("not requeued from here: %s", error)  # preempted: SLURM does it
        raise SystemExit(1)


def _count(path: Path) -> int:
    """Increase the count that a file keeps by its size, and return it."""
    with path.open("a") as file:
        file.write(".")
    return path.stat().st_size


def portable(error: Exception) -> Exception:
    """Return an error that another process can read: itself, or one with its text."""
    # Exceptions of libraries fail in many ways when they are copied.
    with contextlib.suppress(Exception):
        if str(result.read(pickle.dumps(error))) == str(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")
