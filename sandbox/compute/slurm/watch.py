"""Watch submitted jobs until each has left its result or is known to be lost."""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sandbox.compute.slurm import queue
from sandbox.compute.slurm.queue import JobState
from sandbox.compute.slurm.ticket import Ticket
from sandbox.system import liveness, process

log = logging.getLogger(__name__)

_SURE_S = 3.0  # a job that SLURM queues again looks ended for a moment
_SETTLE_S = 4.0  # and late news of its first attempt would end its second
_LOOK_S = 0.5  # between looks for results, at the least …
_LOOK_EACH_S = 0.005  # … and more where there are many files to look for


@dataclass
class Submitted:
    """One item in the queue.

    Args:
        ticket: Its job.
        label: What people call the item.
        item_folder: The item's folder in the store, where the ticket is kept.
        state: What squeue said last.
        ended_at: When squeue first said that it had ended (monotonic); 0 while it has not.
        requeued_at: When it first said that it was queued again; 0 while it is not.
    """

    ticket: Ticket
    label: str
    item_folder: Path | None
    state: JobState | None = None
    ended_at: float = 0.0
    requeued_at: float = 0.0

    @property
    def job_id(self) -> str:
        return self.ticket.job_id

    @property
    def is_own(self) -> bool:
        """Whether this process answers for the job."""
        return self.ticket.driver == liveness.this_process()

    @property
    def log_path(self) -> Path:
        """Standard output and error of its process."""
        return Path(self._paths.stdout)

    @property
    def result_path(self) -> Path:
        """What its process leaves at its end."""
        return Path(self._paths.result_pickle)

    def adopt(self, driver: str) -> None:
        """Answer for a job whose driver is gone."""
        self.ticket = replace(self.ticket, driver=driver)
        if self.item_folder:
            self.ticket.write(self.item_folder)

    def result(self) -> Exception | None:
        """The item's error, or ``None``."""
        outcome, value = pickle.loads(self.result_path.read_bytes())
        if outcome == "success":
            return value if isinstance(value, Exception) else None
        words = str(value).strip().splitlines()  # a traceback: the item was not even begun
        return RuntimeError(f"{self._where()}: {words[-1]}\nlog: {self.log_path}")

    def lost(self) -> Exception:
        """Why there is no result."""
        state = self.state.name if self.state else queue.GONE
        if state == queue.GONE:
            state = queue.accounted_state(self.job_id) or "and was forgotten by squeue"
        said = process.tail(self.log_path) if self.log_path.exists() else "it wrote no log"
        hint = queue.hint(state, queue.exit_code(self.job_id))
        return RuntimeError(
            f"{self._where()} ended {state} without a result{hint}\nlog: {self.log_path}\n{said}"
        )

    @cached_property
    def _paths(self) -> Any:
        from submitit.core.utils import JobPaths

        return JobPaths(self.ticket.folder, job_id=self.job_id, task_id=0)

    def _where(self) -> str:
        node = f" on {self.state.node}" if self.state and self.state.node else ""
        return f"SLURM job {self.job_id}{node}"


class Watch:
    """Asks once for all jobs, every ``poll_s``; looks for results meanwhile.

    Args:
        waiting: What is watched, by number; others add to it and take from it.
        poll_s: Seconds between two calls of squeue.
    """

    def __init__(self, waiting: Mapping[int, Submitted], poll_s: float) -> None:
        self.waiting = waiting
        self.poll_s = poll_s
        self._next_poll = 0.0
        self._reasons: set[str] = set()
        self._is_silent = False

    def ended(self) -> Iterator[tuple[int, Exception | None, bool]]:
        """What has ended since: number, error, and whether somebody else cancelled a job that is not ours."""
        for index, one in [*self.waiting.items()]:
            if one.result_path.exists():
                yield index, one.result(), False
        if time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + self.poll_s
        for index, state in self._poll().items():
            one = self.waiting[index]
            self._tell(one, state)
            one.state = state
            if not state.is_final:
                one.ended_at = 0.0
                continue
            now = time.monotonic()
            one.ended_at = one.ended_at or now
            if now - one.ended_at < _SURE_S:
                self._next_poll = min(self._next_poll, one.ended_at + _SURE_S)
            elif _exists(one.result_path):
                yield index, one.result(), False
            else:
                yield index, one.lost(), state.name == "CANCELLED" and not one.is_own

    def pause(self) -> None:
        """Wait a little, not longer than until the next poll."""
        if self.waiting:
            look_s = max(_LOOK_S, _LOOK_EACH_S * len(self.waiting))
            time.sleep(max(0.01, min(look_s, self._next_poll - time.monotonic())))

    def _poll(self) -> Mapping[int, JobState]:
        """States by number; none while the controller does not answer."""
        try:
            found = queue.states(one.job_id for one in self.waiting.values())
        except process.ProcessError as error:
            if not self._is_silent:
                log.warning("squeue: %s; asking again every %g s", error, self.poll_s)
            self._is_silent = True
            return {}
        self._is_silent = False
        return {index: found[one.job_id] for index, one in self.waiting.items()}

    def _tell(self, one: Submitted, state: JobState) -> None:
        """Say what is new, and let a job that was requeued go on at once."""
        before = one.state.name if one.state else ""
        now = time.monotonic()
        if state.name != "PENDING":
            one.requeued_at = 0.0
        if state.name == "RUNNING" and before != "RUNNING":
            log.info("%s: running on %s", one.label, state.node)
        elif state.name == "PENDING" and state.reason == "BeginTime" and one.log_path.exists():
            if not one.requeued_at:
                one.requeued_at = now
                log.info(
                    "%s: interrupted by the cluster and queued again; it goes on in its folder",
                    one.label,
                )
            elif now - one.requeued_at >= _SETTLE_S:
                queue.start_now(one.job_id)
        elif state.name == "PENDING" and state.reason not in {*self._reasons, "None", "Priority"}:
            self._reasons.add(state.reason)
            log.info("%s: waits in the queue (%s)", one.label, state.reason)


def _exists(path: Path) -> bool:
    """Whether a file is there, also where a network file system remembers that it was not."""
    with contextlib.suppress(OSError):  # https://stackoverflow.com/questions/3112546
        path.parent.chmod(path.parent.stat().st_mode)
    return path.exists()
