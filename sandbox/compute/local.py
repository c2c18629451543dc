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

from sandbox.compute import BaseCompute, T

_END_S = 30.0


class Local(BaseCompute):
    """Run items in processes on this machine, each with its share of CPU threads and GPUs.

    Each process is a pool of one, so that one which dies takes no other item with it.

    Args:
        num_workers: Processes at a time; ``None`` is one per GPU that is dealt out, else one per CPU core.
        gpus_per_worker: GPUs that each process sees.
        num_gpus: GPUs to deal out, the first of those in ``CUDA_VISIBLE_DEVICES`` where that names some;
            ``None`` takes all of these, else all that NVIDIA's driver lists. Nothing is dealt out where
            ``gpus_per_worker`` is 0.
    """

    def __init__(
        self, num_workers: int | None = None, gpus_per_worker: int = 0, num_gpus: int | None = None
    ) -> None:
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, got {num_workers}")
        if gpus_per_worker < 0:
            raise ValueError(f"gpus_per_worker must not be negative, got {gpus_per_worker}")
        if num_gpus is not None and num_gpus < 0:
            raise ValueError(f"num_gpus must not be negative, got {num_gpus}")
        gpus = visible_gpus(num_gpus) if gpus_per_worker else []
        if gpus_per_worker > len(gpus):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            why = f" (CUDA_VISIBLE_DEVICES is {visible!r})" if visible is not None else ""
            raise ValueError(
                f"gpus_per_worker is {gpus_per_worker}, but there are {len(gpus)} GPUs to deal out{why}"
            )
        cores = len(os.sched_getaffinity(0))
        most = len(gpus) // gpus_per_worker if gpus_per_worker else cores
        self.num_workers = min(
            num_workers or most, most if gpus_per_worker else num_workers or most
        )
        self._all: list[_Slot] = []
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        for number in range(self.num_workers):
            share = gpus[number * gpus_per_worker : (number + 1) * gpus_per_worker]
            self._all.append(
                _Slot(max(1, cores // self.num_workers), share if gpus_per_worker else None)
            )
            self._slots.put(self._all[-1])

    def map(
        self, function: Callable[[T], None], items: Sequence[T]
    ) -> Iterator[tuple[int, Exception | None]]:
        self._threads = threads = ThreadPoolExecutor(min(self.num_workers, len(items)))
        try:
            futures = {
                threads.submit(self._run, function, item): index for index, item in enumerate(items)
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Release the processes; what an interrupted run left running is interrupted too."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for slot in self._all:
            slot.interrupt()
        closed = []
        with contextlib.suppress(
            queue.Empty
        ):  # a thread is still waiting for a process that is being ended
            for _ in range(self.num_workers):
                closed.append(self._slots.get(timeout=_END_S))
                closed[-1].close()
        for slot in closed:  # a thread may be waiting for one, to find that nothing begins any more
            self._slots.put(slot)

    def __str__(self) -> str:
        return f"local, {self.num_workers} at a time"

    def _run(self, function: Callable[[T], None], item: T) -> Exception | None:
        slot = self._slots.get()
        try:
            slot.run(function, item)
        except Exception as error:
            return error
        finally:
            self._slots.put(slot)
        return None


class _Slot:
    """One process, made when it is first needed and again after it died."""

    def __init__(self, num_threads: int, gpus: Sequence[str] | None) -> None:
        self.num_threads = num_threads
        self.gpus = gpus
        self._pool: ProcessPoolExecutor | None = None
        self._pid = 0  # of a process that has an item, else 0
        self._interrupted = False

    def run(self, function: Callable[[T], None], item: T) -> None:
        self._go_on(item)
        if self._pool is None:
            level = logging.getLogger().level
            if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
                multiprocessing.set_start_method(
                    "spawn", force=True
                )  # a process of joblib names its own
            self._pool = ProcessPoolExecutor(
                1,
                multiprocessing.get_context("spawn"),
                _enter_slot,
                (self.num_threads, self.gpus, level),
            )
        try:
            self._pid = self._pool.submit(os.getpid).result()
            self._go_on(item)  # the process took its time to start
            self._pool.submit(_do, function, item).result()
        except BrokenProcessPool as error:
            self._pool = None
            raise RuntimeError(
                f"{getattr(item, 'label', item)}: its process was killed (often: out of memory)"
            ) from error
        except KeyboardInterrupt as error:  # the process's, not ours
            raise RuntimeError(
                f"{getattr(item, 'label', item)}: its process was told to end"
            ) from error
        finally:
            self._pid = 0

    def _go_on(self, item: object) -> None:
        if self._interrupted:
            raise RuntimeError(f"{getattr(item, 'label', item)}: was interrupted before it began")

    def interrupt(self) -> None:
        """Let the item that is running, if there is one, end its programs and fail; begin no other."""
        self._interrupted = True
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _enter_slot(num_threads: int, gpus: Sequence[str] | None, level: int) -> None:
    """Set a fresh process up: its threads and GPUs, its log, and its end when the launcher is gone."""
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    # Ctrl-C and a lost terminal reach every process; the launcher alone hears them, and passes TERM on.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGHUP, lambda number, frame: None)
    signal.signal(signal.SIGTERM, _interrupted)
    logging.basicConfig(level=level, format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    threading.Thread(target=_end_with_parent, daemon=True).start()


_state = {"now": "idle"}
"""What this process, one of a pool, does: ``idle``, ``busy``, or ``ending`` an interrupted item."""


def _do(function: Callable[[T], None], item: T) -> None:
    _state["now"] = "busy"
    try:
        function(item)
    finally:
        _state["now"] = "idle"


def _interrupted(number: int, frame: object) -> None:
    """Interrupt the item, once: a second signal must not disturb its cleaning up."""
    if _state["now"] == "idle":
        os._exit(1)
    if _state["now"] == "busy":
        _state["now"] = "ending"
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # lets the job that is running end its programs
    deadline = time.monotonic() + _END_S
    while _state["now"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.05)
    os._exit(1)


def visible_gpus(num_gpus: int | None = None) -> list[str]:
    """The GPUs to deal out: of ``CUDA_VISIBLE_DEVICES`` or, where it names none, those that there are."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if names or (visible is not None and num_gpus is None):
        return names[:num_gpus]
    if (
        num_gpus is not None
    ):  # also where submitit_local hides them all: it is told that they are there
        return [str(number) for number in range(num_gpus)]
    from pathlib import Path

    return [str(number) for number in range(len([*Path("/proc/driver/nvidia/gpus").glob("*")]))]
