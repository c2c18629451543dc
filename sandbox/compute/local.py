"""Run element jobs in a pool of processes on this machine."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

from sandbox.compute import BaseCompute, Begun, ComputeSession, T, ignore
from sandbox.job import NonNegativeInt, Workers
from sandbox.system.hardware import available_cpus, visible_gpus
from sandbox.system.kept import close_kept

_END_S = 30.0
_FROM_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""Signals that every process of a terminal receives; only the launcher reacts to them."""


@dataclass(frozen=True, kw_only=True)
class Local(BaseCompute):
    """Run items in processes on this machine, each with its share of CPU threads and GPUs.

    Args:
        num_workers: Processes at a time; ``None``: one per share of GPUs, else one per CPU core.
        gpus_per_worker: GPUs that each process sees; 0 leaves ``CUDA_VISIBLE_DEVICES`` unchanged.
        num_gpus: GPUs to deal out, the first of those in ``CUDA_VISIBLE_DEVICES`` where that names
            some; ``None``: all of these, else all that NVIDIA's driver lists.
    """

    num_workers: Workers | None = None
    gpus_per_worker: NonNegativeInt = 0
    num_gpus: NonNegativeInt | None = None

    def check(self) -> None:
        """Check that there are GPUs for at least one process.

        Raises:
            ValueError: There are too few.
        """
        if self.gpus_per_worker > len(self._gpus()):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            why = f" (CUDA_VISIBLE_DEVICES is {visible!r})" if visible is not None else ""
            raise ValueError(
                f"gpus_per_worker is {self.gpus_per_worker}, but there are {len(self._gpus())}"
                f" GPUs to deal out{why}"
            )

    def open(self) -> LocalSession:
        self.check()
        cores = available_cpus()
        num_workers = self.num_workers or cores
        if self.gpus_per_worker:
            most = len(self._gpus()) // self.gpus_per_worker
            num_workers = min(self.num_workers or most, most)
        return LocalSession(max(1, cores // num_workers), self._shares(num_workers))

    def _gpus(self) -> list[str]:
        return visible_gpus(self.num_gpus) if self.gpus_per_worker else []

    def _shares(self, num_workers: int) -> list[Sequence[str] | None]:
        """Return the GPUs of each process; ``None`` leaves them alone."""
        each = self.gpus_per_worker
        if not each:
            return [None] * num_workers
        gpus = self._gpus()
        return [gpus[number * each : (number + 1) * each] for number in range(num_workers)]


class LocalSession(ComputeSession):
    """The processes of a :class:`Local` compute.

    Every process is a pool of one, so that a process that dies takes no other item with it.

    Args:
        num_threads: CPU threads of each process.
        shares: GPUs of each process; ``None`` leaves them alone.
    """

    def __init__(self, num_threads: int, shares: Sequence[Sequence[str] | None]) -> None:
        self.num_workers = len(shares)
        self._slots = [_Slot(num_threads, gpus) for gpus in shares]
        # The last one used comes first: its process runs, and its parent of workers is warm.
        self._free: queue.LifoQueue[_Slot] = queue.LifoQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._threads: ThreadPoolExecutor | None = None

    def map(
        self, function: Callable[[T], None], items: Sequence[T], begun: Begun = ignore
    ) -> Iterator[tuple[int, Exception | None]]:
        self._threads = threads = ThreadPoolExecutor(min(self.num_workers, len(items)))
        try:
            futures = {
                threads.submit(self._run, function, item, partial(begun, index)): index
                for index, item in enumerate(items)
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for slot in self._slots:
                slot.close_kept()

    def __exit__(self, *exc: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        # All at once, so that the items end their programs at the same time.
        for slot in self._slots:
            slot.interrupt()
        closed = []
        # A slot is free once its thread has seen the end of the interrupted item.
        with contextlib.suppress(queue.Empty):
            for _ in self._slots:
                slot = self._free.get(timeout=_END_S)
                slot.close()
                closed.append(slot)
        # A thread that still waits for a slot must get one, to see that nothing begins any more.
        for slot in closed:
            self._free.put(slot)

    def __str__(self) -> str:
        return f"local, {self.num_workers} at a time"

    def _run(
        self, function: Callable[[T], None], item: T, begun: Callable[[], None]
    ) -> Exception | None:
        slot = self._free.get()
        try:
            begun()
            slot.run(function, item)
        except Exception as error:
            return error
        finally:
            self._free.put(slot)
        return None


class _Slot:
    """One process, made when it is first needed and again after it died."""

    def __init__(self, num_threads: int, gpus: Sequence[str] | None) -> None:
        self._num_threads = num_threads
        self._gpus = gpus
        self._pool: ProcessPoolExecutor | None = None
        self._busy_pid: int | None = None
        self._is_interrupted = False

    def run(self, function: Callable[[T], None], item: T) -> None:
        label = getattr(item, "label", item)
        self._check_goes_on(label)
        pool = self._pool = self._pool or self._start()
        try:
            # Known before the item begins: an interrupt goes to this process.
            with _blocked_in_programs():
                begun = pool.submit(os.getpid)  # starts the process, if there is none
            self._busy_pid = begun.result()
            self._check_goes_on(label)  # starting the process may have taken a while
            pool.submit(_do, function, item).result()
        except BrokenProcessPool as error:
            # Waits for its thread, which must not close its pipes while Python's exit uses them.
            pool.shutdown()
            self._pool = None
            raise RuntimeError(f"{label}: its process was killed (often: out of memory)") from error
        except KeyboardInterrupt as error:  # raised in the process, not here
            raise RuntimeError(f"{label}: its process was interrupted") from error
        finally:
            self._busy_pid = None

    def interrupt(self) -> None:
        """Make the running item, if any, end its programs and fail; begin no other."""
        self._is_interrupted = True
        if self._busy_pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._busy_pid, signal.SIGTERM)

    def close_kept(self) -> None:
        """Close what the process keeps open for the next item, once it is idle."""
        if self._pool is not None:
            with contextlib.suppress(RuntimeError):  # the process died, or is being shut down
                self._pool.submit(close_kept)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # Inside a process of joblib the start method has a name that only joblib knows.
        if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
            multiprocessing.set_start_method("spawn", force=True)
        level = logging.getLogger().level
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            1, context, _prepare_process, (self._num_threads, self._gpus, level)
        )

    def _check_goes_on(self, label: object) -> None:
        if self._is_interrupted:
            raise RuntimeError(f"{label}: was interrupted before it began")


@contextlib.contextmanager
def _blocked_in_programs() -> Iterator[None]:
    """Block the terminal's signals in processes that this thread starts in the block.

    Such a process has no handler before it is prepared; Python would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_process(num_threads: int, gpus: Sequence[str] | None, level: int) -> None:
    """Set up a new process: its threads and GPUs, its log, and its end with the launcher."""
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    for number in _FROM_TERMINAL:  # the launcher passes SIGTERM on
        signal.signal(number, lambda number, frame: None)
    signal.signal(signal.SIGTERM, _interrupt_item)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FROM_TERMINAL)
    logging.basicConfig(level=level, format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    threading.Thread(target=_end_with_parent, daemon=True).start()


_process = {"state": "idle"}
"""State of this process, one of a pool: ``idle``, ``busy``, or ``ending`` an interrupted item."""


def _do(function: Callable[[T], None], item: T) -> None:
    _process["state"] = "busy"
    try:
        function(item)
    finally:
        _process["state"] = "idle"


def _interrupt_item(number: int, frame: object) -> None:
    """Interrupt the item once: a second signal must not disturb its clean-up."""
    if _process["state"] == "idle":
        os._exit(1)
    if _process["state"] == "busy":
        _process["state"] = "ending"
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Wait for the end of the launcher, then interrupt the item and leave."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while _process["state"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.05)
    os._exit(1)
