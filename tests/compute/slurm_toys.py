"""Toys that a cluster interrupts, kills and starves."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from toys import note

from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.job import Outputs
from sandbox.system import process

COUNTING = """
import pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1])
done = len(path.read_text().split()) if path.exists() else 0
def told(number, frame):
    path.with_name("told.txt").touch()
    raise SystemExit(1)
signal.signal(signal.SIGTERM, told)
for step in range(done, 3):
    with path.open("a") as file:
        file.write(f"{step}\\n")
while not done:
    time.sleep(0.05)
"""
"""Three steps; a program that has begun at the first then hangs until it is told to end."""


class Patient(BaseModelExecutor):
    """Count in a program that never ends at its first attempt, and finishes at the next."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("steps_path", "was_told")
    RESUMABLE: ClassVar[bool] = True

    def __init__(self, name: str = "patient") -> None:
        self.name = name

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        path = output_dir / "steps.txt"
        note(f"{self.name} from {len(path.read_text().split()) if path.exists() else 0}")
        await process.run_async([sys.executable, "-c", COUNTING, path], log_path=log_path)

    def outputs(self, output_dir: Path) -> Outputs:
        return {
            "steps_path": output_dir / "steps.txt",
            "was_told": (output_dir / "told.txt").exists(),
        }


class Hungry(BaseDataExecutor):
    """Take memory and keep it."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("size",)

    def __init__(self, megabytes: int = 1000) -> None:
        self.megabytes = megabytes

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        memory = b"1" * (self.megabytes << 20)
        time.sleep(60)
        return {"size": len(memory)}


def no_thirteen(item: int) -> None:
    """Do nothing; fail for 13."""
    if item == 13:
        raise ValueError("unlucky")
