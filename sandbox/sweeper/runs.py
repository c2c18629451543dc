"""One run of a trial as its driver sees it: through its folder, whoever launched it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.running.trial import ALIVE, RESULT, STOP, TICKET, Observed, read
from sandbox.sweeper.launching import OUTPUT, Launch
from sandbox.sweeper.slurm_queue import QueuedJob, slurm_job
from sandbox.system import process
from sandbox.system.files import write_durably

_SETTLE_S = 1.0
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
        is_slurm: Whether it is a SLURM job.
        lost_after_s: Seconds without a sign of life from elsewhere, after which it is lost.
    """

    def __init__(
        self, folder: Path, overrides: Sequence[str], is_slurm: bool, lost_after_s: float
    ) -> None:
        self.folder = folder
        self.overrides = list(overrides)
        self.launch: Launch | None = None
        self.result: Result | None = None
        self._is_slurm = is_slurm
        self._life = Observed(folder / ALIVE, lost_after_s)
        self._queued: QueuedJob | None = None
        self._gone_since: float | None = None
        self._stopped_at: float | None = None
        self.metrics: set[str] = set()
        self._read_to = 0
        self._began: float | None = None

    @property
    def was_launched(self) -> bool:
        """Whether it may have begun."""
        return (self.folder / TICKET).exists()

    @property
    def gpus(self) -> set[str]:
        """The GPUs that it was given, by whatever driver."""
        return {*(read(self.folder / TICKET) or {}).get("gpus", [])}

    def look(self) -> Result | None:
        """What became of it; ``None`` while it runs, waits, or may yet show that it does."""
        if self.result is None:
            self.result = read(self.folder / RESULT) or self._returned() or self._lost()
        if (
            self.result is None
            and self._stopped_at
            and time.monotonic() - self._stopped_at > _OBEY_S
        ):
            self._end_by_force()
        return self.result

    def lives(self) -> bool:
        """Whether it is known to run, or to wait for its turn."""
        return bool(self._life.is_alive()) or self._is_queued()

    def seconds(self) -> float:
        """For how long it has been seen to run."""
        if self._began is None:
            if not (self.folder / ALIVE).exists():
                return 0.0
            self._began = time.monotonic()
        return time.monotonic() - self._began

    def stop(self, reason: str) -> None:
        """Tell it to end; nothing happens if it has ended. A run that has not begun will not."""
        if self.result is None and self._stopped_at is None:
            self._stopped_at = time.monotonic()
            write_durably(self.folder / STOP, json.dumps({"reason": reason}))
            if self._life.is_alive() is None and self._is_queued() and self._queued is not None:
                self._queued.cancel()

    def kill(self) -> None:
        """End it at once, as far as that is in our hands."""
        self._end_by_force()

    def new_values(self, metric: str) -> Iterator[tuple[int | None, float]]:
        """(step, value) pairs of a metric that its watcher has written since the last call."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_to += len(line)
                event = json.loads(line)
                self.metrics.update(event["metrics"])
                if metric in event["metrics"]:
                    yield event["step"], float(event["metrics"][metric])

    def log_tail(self) -> str:
        """The last lines that it wrote anywhere."""
        paths = [self.folder / "sandbox.log", self.folder / OUTPUT]
        paths += sorted((self.folder / ".submitit").glob("*/*_log.err"))
        texts = [process.tail(path).strip() for path in paths if path.is_file()]
        return "\n".join(text for text in texts if text)[-_MOST_CHARACTERS:]

    def _returned(self) -> Result | None:
        """What its launcher said, where its own result is not to be seen yet or was never written."""
        if self.launch is None or not self.launch.is_over():
            return None
        if self.launch.has_value:
            return {"state": "complete", "value": self.launch.value}
        if self._life.is_alive() is None and self.launch.error:
            return {"state": "failed", "error": self.launch.error}
        return None

    def _lost(self) -> Result | None:
        alive = self._life.is_alive()
        is_waiting = alive is None and (
            not self.launch.is_over()
            if self.launch
            else self.was_launched and self._life.seconds < self._life.lost_after_s
        )
        if alive or is_waiting or self._is_queued():
            self._gone_since = None
            return None
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since < _SETTLE_S:
            return None
        reason = str((read(self.folder / STOP) or {}).get("reason", ""))
        if reason:
            return {"state": "stopped", "reason": reason}
        said = [self.launch.error] if self.launch else []
        said += [self._queued.end()] if self._queued else []
        error = "; ".join(filter(None, ["its process is gone, and left no result", *said]))
        return {"state": "lost", "error": error}

    def _is_queued(self) -> bool:
        if not self._is_slurm:
            return False
        if self._queued is None and (job_id := slurm_job(self.folder)):
            self._queued = QueuedJob(job_id)
        return self._queued is not None and self._queued.is_there()

    def _end_by_force(self) -> None:
        if self.launch is not None:
            self.launch.kill()
        if self._is_queued() and self._queued is not None:
            self._queued.cancel()


@dataclass
class Trial:
    """A trial that this driver answers for.

    Args:
        number: Its number in the study, and the name of its folder.
        trial_id: Its id in the storage.
        runs: Its run, or one for each seed.
        last_step: The last step at which its metric was told to the study.
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
        """What became of its runs; ``None`` while one runs. One that did not end well ends the others."""
        found = [run.look() if run.was_launched or run.result else None for run in self.runs]
        wrong = [result for result in found if result and result["state"] != "complete"]
        # the first that went wrong tells why; those that it stopped do not
        bad = min(wrong, key=lambda result: result.get("reason") == _ANOTHER) if wrong else None
        if bad is not None and None in found:
            self.stop(bad.get("reason") or _ANOTHER)
            found = [run.result for run in self.runs]
        ended = [result for result in found if result is not None]
        if len(ended) < len(self.runs):
            return None
        return [bad] if bad is not None else ended
