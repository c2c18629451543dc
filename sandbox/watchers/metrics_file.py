"""The file ``metrics.jsonl`` in a run's folder, the record of its metrics.

One line for each call of ``watch``:
``{"time": 1795351578.2, "step": 10, "metrics": {"train.loss": 0.5}}``. Names are flat and ``step``
is a number or null. Values that JSON cannot express are the strings "NaN", "Infinity" and
"-Infinity", which every language can parse as a float. The last value of a name counts.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

METRICS_FILE = "metrics.jsonl"

log = logging.getLogger(__name__)

_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class MetricsFile:
    """Append metrics to a run's file. The first failure is logged and ends the file, not the run.

    Args:
        run_dir: Folder of the run; created with the file at the first metric.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / METRICS_FILE
        self._file: int | None = None
        self._is_broken = False

    def append(self, step: int | None, metrics: Mapping[str, float]) -> None:
        """Append one line."""
        if self._is_broken:
            return
        event = {"time": time.time(), "step": step, "metrics": _to_json(metrics)}
        line = json.dumps(event, allow_nan=False) + "\n"
        try:
            if self._file is None:
                self._file = _open_for_append(self._path)
            # One unbuffered write per line: a line is whole even if this process is killed or
            # another one writes to the same file.
            os.write(self._file, line.encode())
        except OSError as error:
            self._is_broken = True
            log.warning("metrics are no longer written to %s: %s", self._path, error)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


def read_events(run_dir: Path) -> Iterator[tuple[int | None, dict[str, float]]]:
    """Read the (step, metrics) pairs of a run, oldest first; none if there is no file.

    A line that a killed process left incomplete is skipped.
    """
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                metrics = {name: float(value) for name, value in event["metrics"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            yield event.get("step"), metrics


def _open_for_append(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(file).st_size
    # A killed process may have left an incomplete line, to which ours must not be added.
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file


def _to_json(metrics: Mapping[str, float]) -> dict[str, float | str]:
    return {
        name: value if math.isfinite(value) else _INFINITE.get(value, "NaN")
        for name, value in metrics.items()
    }
