"""The file ``metrics.jsonl`` in a run's folder, the record of its metrics.

One line for each call of ``watch``:
``{"time": 1795351578.2, "step": 10, "metrics": {"train.4.loss": 0.5}}``. Names are flat and
``step`` is a number or null. Values that JSON cannot express are the strings "NaN", "Infinity" and
"-Infinity", which every language can parse as a float. The last value of a name counts.
Metrics of an element have its label beside them, as one text and by axis:
``"label": "web_low, seed 2", "axes": {"executor.dataset_path": "web_low", "seed": 2}``.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.job import JobFailed, Label, axes_text
from sandbox.system.files import fault_text, named, open_to_append

METRICS_FILE = "metrics.jsonl"

log = logging.getLogger(__name__)

_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class MetricsFile:
    """Append metrics to a run's file.

    A line that cannot be written, because the disk is full, is kept and tried again with the next
    one and at the end. So the file is complete in the end, or :meth:`close` says what is missing.

    Args:
        run_dir: Folder of the run; created with the file at the first metric.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / METRICS_FILE
        self._file: int | None = None
        self._waiting: deque[bytes] = deque()
        self._num_lines = 0
        self._is_reported = False

    def append(
        self, step: int | None, metrics: Mapping[str, float], axes: Mapping[str, Label]
    ) -> None:
        """Append one line; ``axes`` are the labels of the element that the metrics belong to."""
        event: dict[str, Any] = {"time": time.time(), "step": step, "metrics": _to_json(metrics)}
        if axes:
            event |= {"label": axes_text(axes), "axes": dict(axes)}
        self._waiting.append(f"{json.dumps(event, allow_nan=False)}\n".encode())
        self._num_lines += 1
        try:
            self._write()
        except OSError as error:
            if not self._is_reported:
                log.warning("metrics wait to be written: %s", fault_text(error))
            self._is_reported = True

    def close(self) -> None:
        """Write what still waits, and close the file, if there is one.

        Raises:
            JobFailed: The file is not complete.
        """
        if not self._num_lines:
            return
        reason = ""
        try:
            self._write()
            self._check_is_there()
        except OSError as error:
            reason = fault_text(error)
        finally:
            if self._file is not None:
                os.close(self._file)
            self._file = None
        if reason:
            # Without a line that waits it is not known which ones are lost.
            num_missing = len(self._waiting) or self._num_lines
            raise JobFailed(f"{self._path} lacks {num_missing} lines of metrics: {reason}")

    def _write(self) -> None:
        with named(self._path):
            if self._file is None:
                self._file = open_to_append(self._path)
            while self._waiting:
                # One unbuffered write per line: a line is whole even if this process is killed or
                # another one writes to the same file.
                line = self._waiting[0]
                rest = line[os.write(self._file, line) :]
                # A disk that became full on the way took the beginning.
                self._waiting[0] = rest
                if not rest:
                    self._waiting.popleft()

    def _check_is_there(self) -> None:
        """Raise ``OSError`` if the lines are not in the file of that name, or not safe there."""
        assert self._file is not None
        with named(self._path):
            os.fsync(self._file)  # network file systems report a full disk only now
            if not os.path.samestat(self._path.stat(), os.fstat(self._file)):
                raise FileNotFoundError(errno.ENOENT, "was replaced while the run went on")


def read_events(run_dir: Path) -> Iterator[tuple[int | None, dict[str, float]]]:
    """Read the (step, metrics) pairs of a run, oldest first; none if there is no file.

    A line that a killed process left incomplete, or that is damaged, is skipped.
    """
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                metrics = {name: float(value) for name, value in event["metrics"].items()}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            yield event.get("step"), metrics


def _to_json(metrics: Mapping[str, float]) -> dict[str, float | str]:
    return {
        name: value if math.isfinite(value) else _INFINITE.get(value, "NaN")
        for name, value in metrics.items()
    }
