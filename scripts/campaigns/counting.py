"""Toys for campaigns: data, a training that counts in a program of its own, and a score.

Everything that is done leaves a line in the ledger, the file that ``COUNTING_LEDGER`` names, so
that a campaign can see what was done twice. The training goes the way of our own executors: it
starts ``counting_program.py`` through ``run_worker_async``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import worker
from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.job import JobScope, NonNegativeInt, PositiveInt, score

worker._WORKERS_DIR = Path(__file__).parent  # where run_worker finds our program


def key_of(scope: JobScope) -> str:
    """Return ``<job>/<fingerprint>`` of the element that is at work."""
    folder = scope.log_path.parents[1]
    return f"{folder.parent.name}/{folder.name}"


def note(what: str, scope: JobScope) -> None:
    """Leave a line in the ledger."""
    line = {
        "what": what,
        "key": key_of(scope),
        "driver": os.environ["COUNTING_DRIVER"],
        "pid": os.getpid(),
        "time": time.time(),
    }
    ledger = os.open(os.environ["COUNTING_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"{json.dumps(line)}\n".encode())
    os.close(ledger)


@dataclass(frozen=True, kw_only=True)
class NumberFiles:
    """Data sets, the n-th of n rows."""

    paths: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class Numbers(BaseDataExecutor):
    """Make data sets of numbered rows."""

    num_files: PositiveInt = 1
    work_ms: NonNegativeInt = 10

    def run(self, *, scope: JobScope) -> NumberFiles:
        note("begin", scope)
        paths = [scope.output_dir / f"{number}.jsonl" for number in range(1, self.num_files + 1)]
        for number, path in enumerate(paths, 1):
            path.write_text("".join(f'{{"text": "row {row}"}}\n' for row in range(number)))
            time.sleep(self.work_ms / 1000)
        note("end", scope)
        return NumberFiles(paths=paths)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The counter's last state."""

    checkpoint_path: Path


@dataclass(frozen=True, kw_only=True)
class Counting(BaseModelExecutor):
    """Add a number a step, report the sum, and go on from the last checkpoint."""

    RESUMABLE: ClassVar[bool] = True

    dataset_path: Path
    start_path: Path | None = None
    seed: NonNegativeInt = 0
    num_steps: PositiveInt = 20
    steps_per_checkpoint: PositiveInt = 5
    step_ms: NonNegativeInt = 5
    is_stubborn: bool = False

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        start = json.loads(self.start_path.read_text())["sum"] if self.start_path else 0
        rows = len(self.dataset_path.read_text().splitlines())
        request = {
            **{name: value for name, value in vars(self).items() if not isinstance(value, Path)},
            "first": start + 1000 * rows + 100_000 * self.seed,
            "checkpoint_path": scope.output_dir / "checkpoint.json",
            "state_path": (scope.resume_dir if self.RESUMABLE else scope.output_dir) / "state.json",
            "key": key_of(scope),
            "launcher": os.getpid(),
        }
        await worker.run_worker_async("counting_program", request, scope)

    def outputs(self, *, scope: JobScope) -> Counted:
        return Counted(checkpoint_path=scope.output_dir / "checkpoint.json")


@dataclass(frozen=True, kw_only=True)
class ForgetfulCounting(Counting):
    """Count from the beginning whenever the last attempt did not end."""

    RESUMABLE: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Total:
    """The sum of a counter, and a file that holds it."""

    total: float = score()
    details_path: Path


@dataclass(frozen=True, kw_only=True)
class Totals(BaseEvaluator):
    """Read the sum of a counter."""

    work_ms: NonNegativeInt = 10

    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> Total:
        note("begin", scope)
        time.sleep(self.work_ms / 1000)
        total = json.loads(Path(eval_obj).read_text())["sum"]
        details = scope.output_dir / "details.json"
        details.write_text(json.dumps({"total": total}))
        scope.watch({"total": total})
        note("end", scope)
        return Total(total=total, details_path=details)
