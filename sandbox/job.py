"""What a job is, before, while and after it runs: plain data, the lowest layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NewType, Protocol

Outputs = Mapping[str, Any]
"""Named results of one job: JSON values, and ``Path`` for files and folders."""

Secret = NewType("Secret", str)
"""Annotation of an argument that may only be given as ``${oc.env:NAME}``."""


class Watch(Protocol):
    """Where a running job sends its metrics."""

    def __call__(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record ``metrics``, nested or flat, numbers only, at training step ``step``."""


@dataclass(frozen=True)
class JobScope:
    """Everything that a hook may touch while its job runs.

    Args:
        name: Name of the job.
        output_dir: Folder of this job alone; exists.
        log_path: Log file of this attempt; programs that the job starts write there.
        watch: Sends metrics to the run's watcher.
    """

    name: str
    output_dir: Path
    log_path: Path
    watch: Watch
