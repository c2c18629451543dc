"""Measure what a piece of work costs: CPU, memory, bytes written, of this process and programs."""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from sandbox.system.hardware import visible_gpus

_FIRST_S = 1.0
_LONGEST_S = 10.0
_BLOCK = 512  # getrusage counts what is written in these, on Linux
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Usage:
    """Cost of a piece of work.

    Args:
        seconds: Wall time.
        cpu_seconds: User and system time of this process and of every program that ended meanwhile.
        gpu_seconds: Wall time times the number of GPUs that this process may use, used or not.
        peak_memory_mb: Largest memory (resident set) of this process and its programs together that
            was seen; it is looked at every few seconds, and a short peak is seen only if it is
            above all earlier ones of a single process. Programs may share some of it.
        written_mb: Written to disks, by this process and every program that ended meanwhile; 0
            where the system does not count it: macOS, files in memory.
    """

    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_mb: float
    written_mb: float


class UsageMeter:
    """Measure the block, in a process that does nothing else meanwhile.

    The counters of the operating system are those of the whole process, so what other threads do
    counts too. A program that outlives the block counts where it ends.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _counters()
        self._highest = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="usage", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()

    def usage(self) -> Usage:
        """Return the cost so far."""
        seconds = time.monotonic() - self._began
        before, after = self._before, _counters()
        grown = [new for old, new in zip(before.peaks, after.peaks, strict=True) if new > old]
        grown += [peak for _, peak, _ in _others[before.num_others :]]
        exact = max(grown, default=0) * _RSS_UNIT
        peak = max(self._highest, _resident(with_programs=False), exact)
        block = _BLOCK if sys.platform == "linux" else 0
        return Usage(
            seconds=round(seconds, 2),
            cpu_seconds=round(after.cpu_s - before.cpu_s, 2),
            gpu_seconds=round(len(visible_gpus()) * seconds, 2),
            peak_memory_mb=round(peak / 2**20, 1),
            written_mb=round((after.num_blocks - before.num_blocks) * block / 2**20, 2),
        )

    def _sample(self) -> None:
        pause_s = _FIRST_S
        while not self._is_over.wait(pause_s):
            self._highest = max(self._highest, _resident(with_programs=True))
            # To find the programs takes milliseconds: there are hundreds of processes.
            pause_s = min(1.5 * pause_s, _LONGEST_S)


def count_program(cpu_s: float, peak: int, num_blocks: int) -> None:
    """Count an ended program that is no child of this process, and so not counted by the system.

    Args:
        cpu_s: Its user and system time.
        peak: Its peak memory, as getrusage counts it.
        num_blocks: The blocks that it wrote, as getrusage counts them.
    """
    _others.append((cpu_s, peak, num_blocks))


@contextmanager
def uncounted() -> Iterator[None]:
    """Leave out the programs that end in the block."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        yield
    finally:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        count_program(-cpu_s, 0, before.ru_oublock - after.ru_oublock)


_others: list[tuple[float, int, int]] = []
"""CPU time, peak and blocks of programs that are no children of this process."""


@dataclass(frozen=True)
class _Counters:
    cpu_s: float
    num_blocks: int
    peaks: tuple[int, int]
    num_others: int


def _counters() -> _Counters:
    """Return what was counted of this process and its ended programs since its start."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    others = [*_others]
    return _Counters(
        cpu_s=sum(one.ru_utime + one.ru_stime for one in both) + sum(one[0] for one in others),
        num_blocks=sum(one.ru_oublock for one in both) + sum(one[2] for one in others),
        peaks=(both[0].ru_maxrss, both[1].ru_maxrss),
        num_others=len(others),
    )


def _resident(*, with_programs: bool) -> int:
    """Return the bytes of memory that this process, and its programs, have now."""
    import psutil

    own = psutil.Process()
    processes = [own, *own.children(recursive=True)] if with_programs else [own]
    found = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended
            found += process.memory_info().rss
    return found
