"""Watch submitted jobs until each has left its result or is known to be lost."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sandbox.compute import Begun
from sandbox.compute.slurm import queue, result
from sandbox.compute.slurm.queue import JobState
from sandbox.system import process
from sandbox.system.files import read_json

log = logging.getLogger(__name__)

_NAME = "slurm.json"
_CERTAIN_S = 3.0  # a job that SLURM queues again looks ended for a moment
SETTLE_S = 4.0
"""Late news of a job's first attempt ends its second one, if that starts within this time."""
_LOOK_S = 0.5  # between looks for results, at least …
_LOOK_EACH_S = 0.005  # … and more where there are many files to look for


@dataclass(frozen=True)
class Submission:
    """The SLURM job of one item, kept in the item's folder so that no driver submits it twice.

    Args:
        job_id: SLURM's id; of an element of an array ``<array>_<index>``.
        folder: Folder of submissions, with submitit's ``%j`` for the job's id.
        comment: The job's comment; distinguishes it from a job with the same id on another cluster
            or in another year.
        driver: Heartbeat file of the process that answers for the job.
    """

    job_id: str
    folder: str
    comment: str
    driver: str

    @staticmethod
    def read(item_folder: Path) -> Submission | None:
        """Read the last submission of an item; ``None`` where there is none."""
        data = read_json(item_folder / _NAME) or {}
        names = [field.name for field in fields(Submission)]
        if not all(isinstance(data.get(name), str) for name in names):  # damaged
            return None
        return Submission(**{name: data[name] for name in names})

    def write(self, item_folder: Path) -> None:
        """Keep it in the item's folder."""
        item_folder.mkdir(parents=True, exist_ok=True)
        temporary = item_folder / f".{_NAME}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(item_folder / _NAME)

    def remove(self, item_folder: Path) -> None:
        """Remove it from the item's folder, unless another has replaced it."""
        if Submission.read(item_folder) == self:
            (item_folder / _NAME).unlink(missing_ok=True)


@dataclass
class QueuedItem:
    """One item in the queue.

    Args:
        submission: Its job.
        label: Name of the item in the log.
        item_folder: Folder of the item in the store, where the submission is kept.
        state: The last answer of squeue.
        ended_at: When squeue first reported that it has ended (monotonic); ``None`` before.
        requeued_at: When squeue first reported that it is queued again; ``None`` while it is not.
    """

    submission: Submission
    label: str
    item_folder: Path | None
    state: JobState | None = None
    ended_at: float | None = None
    requeued_at: float | None = None

    @property
    def job_id(self) -> str:
        return self.submission.job_id

    @property
    def log_path(self) -> Path:
        """Standard output and error of its process."""
        return Path(self._paths.stdout)

    @property
    def result_path(self) -> Path:
        """File that its process writes at its end."""
        return Path(self._paths.result_pickle)

    def adopt(self, driver: str) -> None:
        """Let a driver answer for a job whose own driver is gone."""
        self.submission = replace(self.submission, driver=driver)
        if self.item_folder:
            self.submission.write(self.item_folder)

    def forget(self) -> None:
        """Remove the submission from the item's folder: the job has ended."""
        if self.item_folder:
            self.submission.remove(self.item_folder)

    def result(self) -> Exception | None:
        """Return the item's error, or ``None``."""
        try:
            outcome, value = result.read(self.result_path.read_bytes())
        except Exception as error:  # a damaged pickle raises errors of many kinds
            return RuntimeError(f"{self.result_path} is no result of a job: {error}")
        if outcome == "success":
            return value if isinstance(value, Exception) else None
        # Otherwise the value is a traceback: the item did not even begin.
        lines = str(value).strip().splitlines()
        return RuntimeError(f"{self._job_and_node()}: {lines[-1]}\nlog: {self.log_path}")

    def lost(self) -> Exception:
        """Return an error that explains why there is no result."""
        state = self.state.name if self.state else queue.GONE
        if state == queue.GONE:
            state = queue.accounted_state(self.job_id) or "and was forgotten by squeue"
        hint = queue.hint(state, queue.exit_code(self.job_id))
        output = process.tail(self.log_path) if self.log_path.exists() else "it wrote no log"
        return RuntimeError(
            f"{self._job_and_node()} ended {state} without a result{hint}"
            f"\nlog: {self.log_path}\n{output}"
        )

    @cached_property
    def _paths(self) -> Any:
        from submitit.core.utils import JobPaths

        return JobPaths(self.submission.folder, job_id=self.job_id, task_id=0)

    def _job_and_node(self) -> str:
        node = f" on {self.state.node}" if self.state and self.state.node else ""
        return f"SLURM job {self.job_id}{node}"


class QueueWatcher:
    """Call squeue for all jobs at once, every ``poll_s``; look for results in between.

    Args:
        waiting: The watched items by index; the caller adds and removes some.
        poll_s: Seconds between two calls of squeue.
        begun: Called with the index of an item when squeue first reports that it runs.
    """

    def __init__(self, waiting: Mapping[int, QueuedItem], poll_s: float, begun: Begun) -> None:
        self.waiting = waiting
        self.poll_s = poll_s
        self._begun = begun
        self._next_poll = 0.0
        self._logged_reasons: set[str] = set()
        self._is_unanswered = False

    def ended(self) -> Iterator[tuple[int, Exception | None, bool]]:
        """Yield what has ended since the last call: index, error, and whether it was cancelled."""
        for index, one in [*self.waiting.items()]:
            if one.result_path.exists():
                yield index, one.result(), False
        if time.monotonic() < self._next_poll:
            return
        self._next_poll = time.monotonic() + self.poll_s
        for index, state in self._poll().items():
            one = self.waiting[index]
            self._handle_news(index, one, state)
            one.state = state
            if not self._has_certainly_ended(one):
                continue
            if _exists(one.result_path):
                yield index, one.result(), False
            else:
                yield index, one.lost(), state.name == "CANCELLED"

    def pause(self) -> None:
        """Wait a little, at most until the next call of squeue."""
        if self.waiting:
            look_s = max(_LOOK_S, _LOOK_EACH_S * len(self.waiting))
            time.sleep(max(0.01, min(look_s, self._next_poll - time.monotonic())))

    def _poll(self) -> Mapping[int, JobState]:
        """Return states by index; none while the controller does not answer."""
        try:
            found = queue.states(one.job_id for one in self.waiting.values())
        except process.ProcessError as error:
            if not self._is_unanswered:
                log.warning("squeue: %s; asking again every %g s", error, self.poll_s)
            self._is_unanswered = True
            return {}
        self._is_unanswered = False
        return {index: found[one.job_id] for index, one in self.waiting.items()}

    def _has_certainly_ended(self, one: QueuedItem) -> bool:
        """Return whether squeue has reported the end of a job for long enough."""
        if one.state is None or not one.state.is_final:
            one.ended_at = None
            return False
        now = time.monotonic()
        one.ended_at = one.ended_at or now
        if now - one.ended_at < _CERTAIN_S:
            self._next_poll = min(self._next_poll, one.ended_at + _CERTAIN_S)
            return False
        return True

    def _handle_news(self, index: int, one: QueuedItem, state: JobState) -> None:
        """Log what has changed, and let a requeued job start at once."""
        if state.name != "PENDING":
            one.requeued_at = None
            was_running = one.state is not None and one.state.name == "RUNNING"
            if state.name == "RUNNING" and not was_running:
                log.info("%s: running on %s", one.label, state.node)
                self._begun(index)
        elif state.reason == "BeginTime" and one.log_path.exists():
            self._handle_requeue(one)
        elif state.reason not in {*self._logged_reasons, "None", "Priority"}:
            self._logged_reasons.add(state.reason)
            log.info("%s: waits in the queue (%s)", one.label, state.reason)

    def _handle_requeue(self, one: QueuedItem) -> None:
        now = time.monotonic()
        if one.requeued_at is None:
            one.requeued_at = now
            log.info(
                "%s: interrupted by the cluster and queued again; it goes on in its folder",
                one.label,
            )
        elif now - one.requeued_at >= SETTLE_S:
            queue.start_now(one.job_id)


def _exists(path: Path) -> bool:
    """Return whether a file exists, also where a network file system remembers that it did not."""
    # Changing the folder's mode drops what NFS remembers: https://stackoverflow.com/q/3112546
    with contextlib.suppress(OSError):
        path.parent.chmod(path.parent.stat().st_mode)
    return path.exists()
