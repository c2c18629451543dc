"""What SLURM's own tools say of jobs, and tell them: with no accounting, and with few calls."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.system import process

TOOLS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
GONE = "GONE"
"""State of a job that squeue has forgotten: it ended a while ago (SLURM's ``MinJobAge``)."""

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
    """What squeue says of one job, or of one element of an array.

    Args:
        name: SLURM's state in its long form, or ``GONE``.
        node: Where it runs; empty while it waits.
        reason: Why it waits.
        comment: The comment that it was submitted with.
    """

    name: str
    node: str = ""
    reason: str = ""
    comment: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes of it, unless SLURM is about to queue it again."""
        return self.name in _FINAL

    @property
    def is_alive(self) -> bool:
        """Whether it waits or runs."""
        return not self.is_final and self.name != "COMPLETING"


def states(job_ids: Iterable[str]) -> Mapping[str, JobState]:
    """States of jobs, by the ids that were asked for; one call of squeue.

    Raises:
        ProcessError: The controller does not answer: nothing is known of any job.
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
        text = ""  # it has forgotten all of them
    found = {}
    for line in text.splitlines():
        job_id, name, node, reason, comment = line.split("|", 4)
        found[job_id.strip()] = JobState(name, node, reason, comment)
    return {job_id: found.get(job_id, JobState(GONE)) for job_id in asked}


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs, those that wait and those that run; what has ended is left alone."""
    if job_ids:
        process.output(["scancel", *job_ids])


def requeue(job_id: str) -> None:
    """Stop a running job and put it back into the queue."""
    process.output(["scontrol", "requeue", job_id])


def start_now(job_id: str) -> None:
    """Let a job that SLURM requeued start as soon as it can; else it holds it back for two minutes."""
    with contextlib.suppress(process.ProcessError):  # it runs already, or the site forbids it
        process.output(["scontrol", "update", f"JobId={job_id}", "StartTime=now"])


def exit_code(job_id: str) -> str:
    """SLURM's exit code of a job, ``status:signal``; empty where it is not known any more."""
    with contextlib.suppress(process.ProcessError):
        found = re.search(
            r"\bExitCode=(\d+:\d+)", process.output(["scontrol", "show", "job", job_id])
        )
        return found[1] if found else ""
    return ""


def accounted_state(job_id: str) -> str:
    """State of an ended job as accounting knows it; empty where there is no accounting."""
    with contextlib.suppress(process.ProcessError):
        words = process.output(["sacct", "-n", "-X", "-P", "-o", "State", "-j", job_id]).split()
        return words[0] if words else ""
    return ""


def hint(state: str, exit_code: str) -> str:
    """Why a job ended in a state, as an addition to it; says nothing where nothing is known."""
    if state == "OUT_OF_MEMORY":
        return ": it took more memory than mem_gb"
    if state == "TIMEOUT":
        return ": it came to timeout_min and did not heed the signal before"
    if state == "CANCELLED":
        return ": scancel, or a limit of the cluster"
    status, _, number = exit_code.partition(":")
    if number == "9" or status == "137":
        return ": its process was killed (often: out of memory)"
    return f" (exit code {exit_code})" if exit_code else ""


def longest_array() -> int:
    """Most elements of one array on this cluster."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", process.output(["scontrol", "show", "config"]))
    return int(found[1]) if found else 1000
