"""Relay the metrics of running element jobs to the watcher."""

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
from sandbox.system.follow import FileFollower
from sandbox.watchers.open_watcher import OpenWatcher

log = logging.getLogger(__name__)

_POLL_S = 0.5
_PROGRESS_S = 20.0


class MetricsRelay:
    """Send the metrics of elements to the watcher while the block lasts.

    They come from a file while an element runs, and from its record when it has finished.
    """

    def __init__(self, elements: Sequence[Element], watcher: OpenWatcher) -> None:
        self._elements = elements
        self._watcher = watcher
        self._followers: list[FileFollower] = []
        self._sent: list[set[str]] = [set() for _ in elements]
        self._finished: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._relay, name="metrics relay", daemon=True)
        self._progress_logged = time.monotonic()

    def __enter__(self) -> None:
        for element in self._elements:
            path = _metrics_path(element)
            # Lines of an earlier attempt come with the record.
            size = path.stat().st_size if path.exists() else 0
            self._followers.append(FileFollower(path, size))
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self, index: int, record: JobRecord) -> None:
        """Send what an element's record holds beyond what was sent already."""
        with self._lock:
            self._finished.add(index)
            for line in record.metrics:
                if canonical(line) not in self._sent[index]:
                    self._send(index, line)

    def _relay(self) -> None:
        while not self._stop.wait(_POLL_S):
            with self._lock:
                for index in range(len(self._elements)):
                    if index not in self._finished:
                        self._send_new(index)

    def _send_new(self, index: int) -> None:
        for line in self._follower(index).read_lines():
            event = metrics_event(line)
            if event is None:
                continue
            text = canonical(event)
            if event["step"] is not None and text in self._sent[index]:
                continue  # a step that a resumed training repeats
            self._sent[index].add(text)
            self._send(index, event)
            self._log_progress(index, event)

    def _follower(self, index: int) -> FileFollower:
        """Return the follower of an element's current metrics file.

        The attempt after a lost one works in another folder, on a copy of the file.
        """
        path = _metrics_path(self._elements[index])
        if self._followers[index].path != path:
            self._followers[index] = FileFollower(path, self._followers[index].offset)
        return self._followers[index]

    def _send(self, index: int, event: Mapping[str, Any]) -> None:
        name = self._elements[index].label.replace("[", ".").rstrip("]")
        self._watcher.watch(event["metrics"], name=name, step=event["step"])

    def _log_progress(self, index: int, event: Mapping[str, Any]) -> None:
        """Log a line now and then, so that long work does not look stuck."""
        is_due = time.monotonic() - self._progress_logged > _PROGRESS_S
        if is_due and event["step"] is not None:
            self._progress_logged = time.monotonic()
            first = list(event["metrics"].items())[:3]
            figures = ", ".join(f"{key} {value:.4g}" for key, value in first)
            log.info("  %s step %s: %s", self._elements[index].label, event["step"], figures)


def _metrics_path(element: Element) -> Path:
    return work_dirs(element.folder)[-1] / "metrics.jsonl"
