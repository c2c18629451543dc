"""Costs of a run's jobs, and the savings by reused records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.system.wording import counted


@dataclass
class Costs:
    """A sum over element jobs.

    Args:
        num_elements: Elements added.
        jobs: Iteration and name of the jobs that they belong to.
        total: Sum of every figure by its name in a record's ``run``.
        peak_memory_mb: The largest of their peaks.
    """

    num_elements: int = 0
    jobs: set[tuple[int, str]] = field(default_factory=set)
    total: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0

    def add(self, job: tuple[int, str], run: Mapping[str, Any]) -> None:
        """Add an element by the ``run`` of its record; earlier versions wrote fewer figures."""
        self.num_elements += 1
        self.jobs.add(job)
        for name in ("seconds", "cpu_seconds", "gpu_seconds", "written_mb"):
            self.total[name] = self.total.get(name, 0.0) + run.get(name, 0.0)
        self.peak_memory_mb = max(self.peak_memory_mb, run.get("peak_memory_mb", 0.0))

    def __str__(self) -> str:
        figures = [
            _duration(self.total.get("seconds", 0.0)),
            _duration(self.total.get("cpu_seconds", 0.0), "CPU-"),
        ]
        if self.total.get("gpu_seconds"):
            figures.append(_duration(self.total["gpu_seconds"], "GPU-"))
        return ", ".join(figures)

    def counted(self) -> str:
        """Return the number of jobs, and of elements where these are more."""
        text = counted(len(self.jobs), "job")
        if self.num_elements == len(self.jobs):
            return text
        return f"{text} with {counted(self.num_elements, 'element')}"


def cost_lines(ran: Costs, reused: Costs) -> Iterator[str]:
    """Yield a run's costs: of the jobs that ran, and of those that did not have to."""
    if ran.num_elements:
        memory, written = _size(ran.peak_memory_mb), _size(ran.total["written_mb"])
        yield f"{ran.counted()} ran: {ran}, at most {memory} of memory, {written} written"
    if reused.num_elements:
        yield f"{reused.counted()} reused, which had taken {reused}"


def _duration(seconds: float, kind: str = "") -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {kind}{unit}"
    return f"{seconds:.1f} {kind}s"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"
