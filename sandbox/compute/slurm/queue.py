"""Jobs as SLURM's own tools see and change them: without accounting, with few calls."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.system import process

TOOLS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
GONE = "GONE"
"""State of a job that squeue has forgotten: it ended longer than SLURM's ``MinJobAge`` ago."""

_FINAL = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
    GONE,
}


@dataclass(frozen=True)
class JobState:
    """One job, or one element of an array, as squeue reports it.

    Args:
        name: SLURM's state in its long form, or ``GONE``.
        node: Node on which it runs; empty while it waits.
        reason: Reason why it waits.
        comment: Comment that it was submitted with.
    """

    name: str
    node: str = ""
    reason: str = ""
    comment: str = ""

    @property
    def is_final(self) -> bool:
        """True if it has ended; SLURM may still be about to queue it again."""
        return self.name in _FINAL

    @property
    def is_alive(self) -> bool:
        """True if it waits or runs."""
        return not self.is_final and self.name != "COMPLETING"


def states(job_ids: Iterable[str]) -> Mapping[str, JobState]:
    """Return the states of jobs by their ids, with one call of squeue.

    Raises:
        ProcessError: The controller does not answer: nothing is known about any job.
    """
    asked = [*job_ids]
    if not asked:
        return {}
    arrays = ",".join(sorted({job_id.partition("_")[0] for job_id in asked}))
    command = [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        "--format=%i|%T|%N|%r|%k",
        "--jobs",
        arrays,
    ]
    try:
        text = process.output(command, timeout_s=30)
    except process.ProcessError as error:
        if "Invalid job id" not in str(error):
            raise
        text = ""  # squeue has forgotten all of them
    found = {}
    for line in text.splitlines():
        job_id, name, node, reason, comment = line.split("|", 4)
        found[job_id.strip()] = JobState(name, node, reason, comment)
    return {job_id: found.get(job_id, JobState(GONE)) for job_id in asked}


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs that wait or run; ended jobs are left alone."""
    if job_ids:
        process.output(["scancel", *job_ids])


def requeue(job_id: str) -> None:
    """Stop a running job and put it back into the queue."""
    process.output(["scontrol", "requeue", job_id])


def start_now(job_id: str) -> None:
    """Let a requeued job start as soon as possible; SLURM would hold it back for two minutes."""
    with contextlib.suppress(process.ProcessError):  # it runs already, or the site forbids it
        process.output(["scontrol", "update", f"JobId={job_id}", "StartTime=now"])


def exit_code(job_id: str) -> str:
    """Return SLURM's exit code of a job, ``status:signal``; empty where it is unknown."""
    with contextlib.suppress(process.ProcessError):
        found = re.search(
            r"\bExitCode=(\d+:\d+)", process.output(["scontrol", "show", "job", job_id])
        )
        return found[1] if found else ""
    return ""


def accounted_state(job_id: str) -> str:
    """Return the state of an ended job from accounting; empty where there is none."""
    with contextlib.suppress(process.ProcessError):
        words = process.output(["sacct", "-n", "-X", "-P", "-o", "State", "-j", job_id]).split()
        return words[0] if words else ""
    return ""


def hint(state: str, exit_code: str) -> str:
    """Return the likely reason why a job ended in a state; empty where it is unknown."""
    if state == "OUT_OF_MEMORY":
        return ": it took more memory than mem_gb"
    if state == "TIMEOUT":
        return ": it came to timeout_min and ignored the signal before"
    if state == "CANCELLED":
        return ": scancel, or a limit of the cluster"
    status, _, number = exit_code.partition(":")
    if number == "9" or status == "137":
        return ": its process was killed (often: out of memory)"
    return f" (exit code {exit_code})" if exit_code else ""


def longest_array() -> int:
    """Return how many elements one array of this cluster may have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", process.output(["scontrol", "show", "config"]))
    return int(found[1]) if found else 1000
