"""Metrics of running element jobs, on their way to the watcher."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.running.attempt import metrics_event
from sandbox.store.claims import work_dirs
from sandbox.store.content import canonical
from sandbox.store.fingerprint import Element
from sandbox.store.records import JobRecord
from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)

_FOLLOW_S = 0.5
_PROGRESS_S = 20.0


class Follower:
    """Hands an element's metrics to the watcher: while it runs from its file, at the end from its record."""

    def __init__(self, elements: Sequence[Element], watcher: SandboxWatcher) -> None:
        self._elements = elements
        self._watcher = watcher
        self._offsets = dict.fromkeys(range(len(elements)), 0)
        self._sent: dict[int, set[str]] = {index: set() for index in range(len(elements))}
        self._finished: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._told = time.monotonic()

    def __enter__(self) -> None:
        for index, element in enumerate(self._elements):
            path = _metrics_path(element)
            if path.exists():  # what an earlier attempt wrote comes with the record
                self._offsets[index] = path.stat().st_size
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self, index: int, record: JobRecord) -> None:
        """Send what the record has beyond what was sent."""
        with self._lock:
            self._finished.add(index)
            for line in record.metrics:
                if canonical(line) not in self._sent[index]:
                    self._send(index, line)

    def _follow(self) -> None:
        while not self._stop.wait(_FOLLOW_S):
            with self._lock:
                for index, element in enumerate(self._elements):
                    if index not in self._finished:
                        self._read(index, _metrics_path(element))

    def _read(self, index: int, path: Path) -> None:
        if not path.exists():
            return
        with path.open("rb") as file:
            if path.stat().st_size < self._offsets[index]:
                self._offsets[index] = 0
            file.seek(self._offsets[index])
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offsets[index] += len(line)
                event = metrics_event(line)
                if event is None:
                    continue
                self._sent[index].add(canonical(event))
                self._send(index, event)
                self._tell(index, event)

    def _send(self, index: int, event: Mapping[str, Any]) -> None:
        name = self._elements[index].label.replace("[", ".").rstrip("]")
        self._watcher.watch(event["metrics"], name=name, step=event["step"])

    def _tell(self, index: int, event: Mapping[str, Any]) -> None:
        """A sign of life on long work."""
        if time.monotonic() - self._told > _PROGRESS_S and event["step"] is not None:
            self._told = time.monotonic()
            figures = ", ".join(
                f"{key} {value:.4g}" for key, value in list(event["metrics"].items())[:3]
            )
            log.info("  %s step %s: %s", self._elements[index].label, event["step"], figures)


def _metrics_path(element: Element) -> Path:
    return work_dirs(element.folder)[-1] / "metrics.jsonl"
