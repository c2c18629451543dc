"""What SLURM knows of a run: without accounting, by ``squeue`` alone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox import process

_ASK_EVERY_S = 10.0


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
        self._asked = -_ASK_EVERY_S
        self._is_there = True

    def is_there(self) -> bool:
        """The last answer; ``True`` while SLURM does not answer, ``False`` where it cannot be asked."""
        if self._is_there and time.monotonic() - self._asked >= _ASK_EVERY_S:
            self._is_there = self._ask()
            self._asked = time.monotonic()
        return self._is_there

    def cancel(self) -> None:
        """Take the job from the queue, or end it."""
        _call(["scancel", self.job_id])

    def _ask(self) -> bool:
        if shutil.which("squeue") is None:
            return False
        has_answered, text = _call(["squeue", "--noheader", "--jobs", self.job_id, "--format", "%T"])
        if not has_answered:
            return "Invalid job id" not in text
        return bool(text.strip())


def _call(command: list[str]) -> tuple[bool, str]:
    """Whether a program succeeded, and what it said."""
    with TemporaryDirectory() as folder:
        log_path = Path(folder) / "said"
        try:
            process.run([*command], log_path=log_path)
        except process.ProcessError:
            return False, log_path.read_text(errors="replace") if log_path.exists() else ""
        return True, log_path.read_text(errors="replace")
