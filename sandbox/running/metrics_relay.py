"""Relay the metrics of running element jobs to the watcher."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.store.claims import work_dirs
from sandbox.store.content import canonical
from sandbox.store.fingerprint import Element
from sandbox.store.metrics import METRICS_NAME, Event, metrics_event
from sandbox.store.records import JobRecord
from sandbox.system.follow import FileFollower
from sandbox.watchers.open_watcher import OpenWatcher

log = logging.getLogger(__name__)

_POLL_S = 0.5
_PROGRESS_S = 20.0


class MetricsRelay:
    """Send the metrics of elements to the watcher while the block lasts.

    They come from a file while an element runs, and from its record when it has finished. Only
    elements that have begun and not ended cost anything.

    Args:
        elements: The elements of a job.
        watcher: Where metrics go.
        meanwhile: Called every half a second, in another thread.
    """

    def __init__(
        self, elements: Sequence[Element], watcher: OpenWatcher, meanwhile: Callable[[], None]
    ) -> None:
        self._elements = elements
        self._watcher = watcher
        self._meanwhile = meanwhile
        self._earlier: frozenset[str] = frozenset()
        self._running: dict[int, _Followed] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._relay, name="metrics relay", daemon=True)
        self._progress_logged = time.monotonic()

    def __enter__(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            found = os.scandir(self._elements[0].folder.parent)
            self._earlier = frozenset(entry.name for entry in found)
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def begin(self, index: int) -> None:
        """Follow the metrics of an element that begins now; may be called from any thread."""
        element = self._elements[index]
        path, size = element.folder / METRICS_NAME, 0
        # Lines of an earlier attempt come with the record.
        if element.fingerprint in self._earlier:
            path = _metrics_path(element)
            size = path.stat().st_size if path.exists() else 0
        with self._lock:
            self._running[index] = _Followed(FileFollower(path, size))

    def finish(self, index: int, record: JobRecord) -> None:
        """Send what an element's record holds beyond what was sent already."""
        with self._lock:
            followed = self._running.pop(index, None)
            sent = followed.sent if followed else set()
            for event in record.events():
                if not sent or _mark(event) not in sent:
                    self._send(index, event)

    def fail(self, index: int) -> None:
        """Send what an element without a record has left."""
        with self._lock:
            if index in self._running:
                with contextlib.suppress(OSError):  # which failed the element, too
                    self._send_new(index)
                del self._running[index]

    def _relay(self) -> None:
        while not self._stop.wait(_POLL_S):
            with self._lock:
                for index in self._running:
                    # A file server may be away for a while; the record has the lines again.
                    with contextlib.suppress(OSError):
                        self._send_new(index)
            with contextlib.suppress(OSError):  # tried again at the end, where it is reported
                self._meanwhile()

    def _send_new(self, index: int) -> None:
        followed = self._running[index]
        for line in self._follower(index).read_lines():
            event = metrics_event(line)
            if event is None:
                continue
            mark = _mark(event)
            if event["step"] is not None and mark in followed.sent:
                continue  # a step that a resumed training repeats
            followed.sent.add(mark)
            self._send(index, event)
            self._log_progress(index, event)

    def _follower(self, index: int) -> FileFollower:
        """Return the follower of an element's current metrics file.

        The attempt after a lost one works in another folder, on a copy of the file.
        """
        followed, path = self._running[index], _metrics_path(self._elements[index])
        if followed.follower.path != path:
            followed.follower = FileFollower(path, followed.follower.offset)
        return followed.follower

    def _send(self, index: int, event: Event) -> None:
        element = self._elements[index]
        name = element.label.replace("[", ".").rstrip("]")
        self._watcher.watch(event["metrics"], name=name, step=event["step"], axes=element.axes)

    def _log_progress(self, index: int, event: Event) -> None:
        """Log a line now and then, so that long work does not look stuck."""
        is_due = time.monotonic() - self._progress_logged > _PROGRESS_S
        if is_due and event["step"] is not None:
            self._progress_logged = time.monotonic()
            first = list(event["metrics"].items())[:3]
            figures = ", ".join(f"{key} {value:.4g}" for key, value in first)
            label = self._elements[index].full_label
            log.info("  %s step %s: %s", label, event["step"], figures)


@dataclass
class _Followed:
    """A running element: its file of metrics, and marks of those that were sent."""

    follower: FileFollower
    sent: set[int] = field(default_factory=set)


def _mark(event: Event) -> int:
    """Return a number that stands for an event: a tenth of the memory that its text takes."""
    return hash(canonical(event))


def _metrics_path(element: Element) -> Path:
    return work_dirs(element.folder)[-1] / METRICS_NAME
