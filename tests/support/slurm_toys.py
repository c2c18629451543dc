"""Toys that a cluster interrupts, kills and starves."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from toys import note

from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.job import JobScope
from sandbox.system import process

COUNTING = """
import pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1])
done = len(path.read_text().split()) if path.exists() else 0
def interrupt(number, frame):
    path.with_name("interrupted.txt").touch()
    raise SystemExit(1)
signal.signal(signal.SIGTERM, interrupt)
for step in range(done, 3):
    with path.open("a") as file:
        file.write(f"{step}\\n")
while not done:
    time.sleep(0.05)
"""
"""Three steps; a program that has begun at the first then hangs until it is interrupted."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A file with a line for each step, and whether the program was interrupted once."""

    steps_path: Path
    was_interrupted: bool


@dataclass(frozen=True, kw_only=True)
class Patient(BaseModelExecutor):
    """Count in a program that never ends at its first attempt, and finishes at the next."""

    RESUMABLE: ClassVar[bool] = True

    name: str = "patient"

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        path = scope.output_dir / "steps.txt"
        note(f"{self.name} from {len(path.read_text().split()) if path.exists() else 0}")
        await process.run_async([sys.executable, "-c", COUNTING, path], log_path=scope.log_path)

    def outputs(self, *, scope: JobScope) -> Steps:
        return Steps(
            steps_path=scope.output_dir / "steps.txt",
            was_interrupted=(scope.output_dir / "interrupted.txt").exists(),
        )


@dataclass(frozen=True, kw_only=True)
class Size:
    """A number of bytes."""

    size: int


@dataclass(frozen=True, kw_only=True)
class Hungry(BaseDataExecutor):
    """Take memory and keep it."""

    megabytes: int = 1000

    def run(self, *, scope: JobScope) -> Size:
        memory = b"1" * (self.megabytes << 20)
        time.sleep(60)
        return Size(size=len(memory))


def no_thirteen(item: int) -> None:
    """Do nothing; fail for 13."""
    if item == 13:
        raise ValueError("unlucky")
