"""Runs of a trial as their driver sees them: through their folders, whoever launched them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.running.trial import ALIVE, RESULT, STOP, TRIAL
from sandbox.store.metrics import metrics_event
from sandbox.sweeper.launching import OUTPUT, Launch
from sandbox.sweeper.slurm_jobs import RunJob, job_id_of
from sandbox.system import process
from sandbox.system.files import read_json, write_durably
from sandbox.system.follow import FileFollower
from sandbox.system.liveness import Observer, OwnerState

_SETTLE_S = 1.0  # a result may become visible a little after the end of its process
_OBEY_S = 60.0
_MOST_CHARACTERS = 4000
_ANOTHER = "another of its seeds failed"

Result = Mapping[str, Any]
"""``state``: complete (``value``), failed (``error``), stopped (``reason``) or lost (``error``)."""


class Run:
    """One run in its folder.

    Args:
        folder: Folder of the run.
        overrides: Its overrides; empty if another driver has launched it.
        is_slurm: True if it is a SLURM job.
    """

    def __init__(self, folder: Path, overrides: Sequence[str], is_slurm: bool) -> None:
        self.folder = folder
        self.overrides = list(overrides)
        self.launch: Launch | None = None
        self.result: Result | None = None
        self.metrics: set[str] = set()
        self._is_slurm = is_slurm
        self._observer = Observer(folder / ALIVE)
        self._follower = FileFollower(folder / "metrics.jsonl")
        self._job: RunJob | None = None
        self._gone_since: float | None = None
        self._stopped_at = math.inf
        self._began: float | None = None

    @property
    def was_launched(self) -> bool:
        """True if it may have begun."""
        return (self.folder / TRIAL).exists()

    @property
    def gpus(self) -> set[str]:
        """The GPUs that it was given, by whatever driver."""
        return {*(read_json(self.folder / TRIAL) or {}).get("gpus", [])}

    def look(self) -> Result | None:
        """Return its result; ``None`` while it runs, waits, or may still show that it does."""
        if self.result is None:
            self.result = read_json(self.folder / RESULT) or self._returned() or self._lost()
        # A run that ignores its stop file hangs, or its host cannot see the file.
        if self.result is None and time.monotonic() - self._stopped_at > _OBEY_S:
            self.kill()
        return self.result

    def is_known_to_go_on(self) -> bool:
        """Return whether it is seen to run, or to wait for its turn."""
        return self._observer.is_alive() or self._is_queued()

    def seconds(self) -> float:
        """Return for how long it has been seen to run."""
        if self._began is None:
            if not (self.folder / ALIVE).exists():
                return 0.0
            self._began = time.monotonic()
        return time.monotonic() - self._began

    def stop(self, reason: str) -> None:
        """Ask it to end, once, unless it has ended. A run that has not begun will not begin."""
        if self.result is None and self._stopped_at == math.inf:
            self._stopped_at = time.monotonic()
            write_durably(self.folder / STOP, json.dumps({"reason": reason}))
            if self._observer.state() is OwnerState.UNSEEN:
                self._cancel_job()

    def kill(self) -> None:
        """End it at once, as far as this driver can."""
        if self.launch is not None:
            self.launch.kill()
        self._cancel_job()

    def new_values(self, metric: str) -> Iterator[tuple[int | None, float]]:
        """Yield the steps and values of a metric that were written since the last call."""
        for line in self._follower.read_lines():
            event = metrics_event(line)
            if event is None:
                continue
            self.metrics.update(event["metrics"])
            if metric in event["metrics"]:
                yield event["step"], float(event["metrics"][metric])

    def log_tail(self) -> str:
        """Return the last lines that it wrote anywhere."""
        paths = [self.folder / "sandbox.log", self.folder / OUTPUT]
        paths += sorted((self.folder / ".submitit").glob("*/*_log.err"))
        texts = [process.tail(path).strip() for path in paths if path.is_file()]
        return "\n".join(filter(None, texts))[-_MOST_CHARACTERS:]

    def _returned(self) -> Result | None:
        """Return the launcher's result, where the run's own is not visible or was never written."""
        if self.launch is None or not self.launch.is_over():
            return None
        if self.launch.has_value:
            return {"state": "complete", "value": self.launch.value}
        if self.launch.error and self._observer.state() is OwnerState.UNSEEN:
            return {"state": "failed", "error": self.launch.error}
        return None

    def _lost(self) -> Result | None:
        """Return why there will be no result, once the process is certainly gone."""
        state = self._observer.state()
        is_alive = state is OwnerState.ALIVE
        may_begin = state is OwnerState.UNSEEN and self._may_begin()
        if is_alive or may_begin or self._is_queued():
            self._gone_since = None
            return None
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since < _SETTLE_S:
            return None
        reason = str((read_json(self.folder / STOP) or {}).get("reason", ""))
        if reason:
            return {"state": "stopped", "reason": reason}
        causes = ["its process is gone, and left no result"]
        if self.launch:
            causes.append(self.launch.error)
        if self._job:
            causes.append(self._job.end_text())
        return {"state": "lost", "error": "; ".join(filter(None, causes))}

    def _may_begin(self) -> bool:
        if self.launch is not None:
            return not self.launch.is_over()
        return self.was_launched and self._observer.observed_s < self._observer.lost_after_s

    def _is_queued(self) -> bool:
        if self._is_slurm and self._job is None:
            job_id = job_id_of(self.folder)
            self._job = RunJob(job_id) if job_id else None
        return self._job is not None and self._job.is_queued()

    def _cancel_job(self) -> None:
        if self._is_queued() and self._job is not None:
            self._job.cancel()


@dataclass
class Trial:
    """A trial that this driver answers for.

    Args:
        number: Its number in the study, and the name of its folder.
        trial_id: Its id in the storage.
        runs: Its run, or one for each seed.
        last_step: The last step whose value the study knows.
        is_stopped: True once it was asked to end.
    """

    number: int
    trial_id: int
    runs: list[Run]
    last_step: int = -1
    is_stopped: bool = False

    def stop(self, reason: str) -> None:
        """End what runs of it, and begin no more of it."""
        self.is_stopped = True
        for run in self.runs:
            if run.was_launched:
                run.stop(reason)
            elif run.result is None:
                run.result = {"state": "stopped", "reason": reason}

    def results(self) -> list[Result] | None:
        """Return the results of its runs, of which one that is not complete ends the others.

        Returns:
            ``None`` while a run goes on; only the first bad result where there is one.
        """
        found = [run.look() if run.was_launched or run.result else None for run in self.runs]
        bad = _worst([result for result in found if result is not None])
        if bad is not None and None in found:
            self.stop(bad.get("reason") or _ANOTHER)
            found = [run.result for run in self.runs]
        ended = [result for result in found if result is not None]
        if len(ended) < len(self.runs):
            return None
        return [bad] if bad is not None else ended


def _worst(results: Sequence[Result]) -> Result | None:
    """Return the result that explains a failure: not one that another seed's failure stopped."""
    wrong = [result for result in results if result["state"] != "complete"]
    return min(wrong, key=lambda result: result.get("reason") == _ANOTHER, default=None)
