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


@dataclass
class Turn:
    """One process: seconds of its work, CPU seconds, peak megabytes, seconds beside the work."""

    wall: float
    cpu: float
    peak_mb: float
    start: float
    digest: str | None = None


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
    beside = time.perf_counter() - started - answer["wall"]
    peak = max(usage.ru_maxrss / 1024, together.peak_mb)
    return Turn(answer["wall"], answer["cpu"], peak, beside, answer["digest"])


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
