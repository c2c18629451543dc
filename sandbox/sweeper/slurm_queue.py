"""Whether SLURM still has a run, by ``squeue`` alone: there may be no accounting."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from sandbox.compute.slurm import queue as slurm_queue
from sandbox.system.process import ProcessError

_ASK_EVERY_S = 5.0


def slurm_job(run_dir: Path) -> str | None:
    """The number of the SLURM job that a run was submitted as; ``None`` before that."""
    ids = [path.name for path in (run_dir / ".submitit").glob("*") if path.name[:1].isdigit()]
    return max(ids, key=lambda name: int(name.partition("_")[0]), default=None)


class QueuedJob:
    """Whether SLURM still has a job, waiting or running or about to run again; asked now and then.

    Args:
        job_id: Its number.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._state = ""
        self._asked = -_ASK_EVERY_S
        self._num_gone = 0

    def is_there(self) -> bool:
        """``True`` too while SLURM does not answer; ``False`` where it cannot be asked.

        One look may fall between the end of a job and its return to the queue: two count.
        """
        if self._num_gone < 2 and time.monotonic() - self._asked >= _ASK_EVERY_S:
            self._num_gone = 2 if shutil.which("squeue") is None else self._ask()
            self._asked = time.monotonic()
        return self._num_gone < 2

    def end(self) -> str:
        """What SLURM says of its end; empty where it says nothing."""
        if self._state in ("", slurm_queue.GONE):
            return ""
        return f"SLURM says {self._state}{slurm_queue.hint(self._state, slurm_queue.exit_code(self.job_id))}"

    def cancel(self) -> None:
        """Take the job from the queue, or end it."""
        with contextlib.suppress(ProcessError):
            slurm_queue.cancel([self.job_id])

    def _ask(self) -> int:
        try:
            found = slurm_queue.states([self.job_id])[self.job_id]
        except ProcessError:
            return 0
        self._state = found.name
        return 0 if found.is_alive else self._num_gone + 1
