"""The SLURM job of a run, observed with ``squeue`` alone: there may be no accounting."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from sandbox.compute.slurm import queue
from sandbox.system.process import ProcessError

_POLL_S = 5.0
_CERTAIN = 2  # polls: one may fall between the end of a job and its return to the queue


def job_id_of(run_dir: Path) -> str | None:
    """Return the id of the SLURM job that a run was submitted as; ``None`` before that."""
    ids = [path.name for path in (run_dir / ".submitit").glob("*") if path.name[:1].isdigit()]
    return max(ids, key=lambda name: int(name.partition("_")[0]), default=None)


class RunJob:
    """The SLURM job of one run.

    Args:
        job_id: Its id.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._state = queue.GONE
        self._polled = -_POLL_S
        self._num_gone = 0

    def is_queued(self) -> bool:
        """Return whether it waits, runs or is about to run again; polls only now and then.

        ``True`` while SLURM does not answer; ``False`` where there is no ``squeue``.
        """
        if self._num_gone < _CERTAIN and time.monotonic() - self._polled >= _POLL_S:
            self._num_gone = self._poll() if shutil.which("squeue") else _CERTAIN
            self._polled = time.monotonic()
        return self._num_gone < _CERTAIN

    def end_text(self) -> str:
        """Describe its end as SLURM reports it; empty where that is unknown."""
        if self._state == queue.GONE:
            return ""
        hint = queue.hint(self._state, queue.exit_code(self.job_id))
        return f"SLURM reports {self._state}{hint}"

    def cancel(self) -> None:
        """Remove it from the queue, or end it."""
        with contextlib.suppress(ProcessError):
            queue.cancel([self.job_id])

    def _poll(self) -> int:
        try:
            state = queue.states([self.job_id])[self.job_id]
        except ProcessError:
            return 0
        self._state = state.name
        return 0 if state.is_alive else self._num_gone + 1
