"""Run one piece of work on pools as a process and measure it: used by `pools.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One process and its children.

    Args:
        wall: Seconds of its work.
        synced: Seconds until the output is on the disk.
        user: CPU seconds of the work outside the kernel.
        system: CPU seconds of the work in the kernel.
        peak_mb: Most memory that was held at a time.
        start: Seconds beside the work.
        digest: Hash of the results, if asked for.
    """

    wall: float
    synced: float
    user: float
    system: float
    peak_mb: float
    start: float
    digest: str | None = None

    @property
    def cpu(self) -> float:
        """CPU seconds of the work."""
        return self.user + self.system


@dataclass(frozen=True)
class DiskWrite:
    """Bytes that `dd` wrote.

    Args:
        wall: Seconds until they were on the disk.
        cpu: CPU seconds of `dd`.
    """

    wall: float
    cpu: float


class ChildError(RuntimeError):
    """A piece of work that failed; its message is the last line that it printed."""


def run_child(
    side: str,
    work: str,
    inputs: list[Path],
    out: Path,
    digest: bool = False,
    one_core: bool = False,
    **options: Any,
) -> Turn:
    """Do one piece of work in a process of its own."""
    request: dict[str, Any] = {
        "side": side,
        "work": work,
        "inputs": [str(path) for path in inputs],
        "out": str(out),
    }
    request |= {"digest": digest, "one_core": one_core, "options": options}
    argv = [sys.executable, str(Path(__file__).with_name("pools_child.py")), json.dumps(request)]
    os.sync()
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        together = Together(child.pid)
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        together.stop()
        errors.seek(0)
        if child.returncode:
            raise ChildError(errors.read().decode(errors="replace").strip().splitlines()[-1])
    answer = json.loads(printed.splitlines()[-1])
    beside = time.perf_counter() - started - answer["synced"]
    peak = max(usage.ru_maxrss / 1024, together.peak_mb)
    return Turn(peak_mb=peak, start=beside, **answer)


def run_dd(path: Path, num_bytes: int) -> DiskWrite:
    """Write zeros into a file with `dd` until they are on the disk, and remove it."""
    size = [f"count={num_bytes}", "iflag=count_bytes", "bs=4M"]
    os.sync()
    started = time.perf_counter()
    child = subprocess.Popen(
        ["dd", "if=/dev/zero", f"of={path}", *size, "conv=fsync", "status=none"]
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    path.unlink()
    if child.returncode:
        raise ChildError(f"dd ended with {child.returncode}")
    return DiskWrite(wall, usage.ru_utime + usage.ru_stime)


class Together(threading.Thread):
    """The most memory that a process and its children hold at a time, sampled every 20 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.ended = pid, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Sample until the end: anonymous memory of all, and the files that one of them maps."""
        while not self.ended.wait(0.02):
            each = [held for pid in _descendants(self.pid) if (held := _held_mb(pid))]
            if each:
                self.peak_mb = max(
                    self.peak_mb, sum(own for own, _ in each) + max(files for _, files in each)
                )

    def stop(self) -> None:
        """End the sampling."""
        self.ended.set()
        self.join()


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for known in found:
        try:
            for thread in Path("/proc", str(known), "task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it has just ended
    return found


def _held_mb(pid: int) -> tuple[float, float] | None:
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return None
    kb = {
        key: int(rest.split()[0])
        for key, rest in (line.split(":", 1) for line in lines)
        if key[:3] == "Rss"
    }
    if not kb:
        return None
    return (kb["RssAnon"] + kb["RssShmem"]) / 1024, kb["RssFile"] / 1024
