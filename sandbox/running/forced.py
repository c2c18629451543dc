"""Records that ``force`` replaces: those that were there when the forcing began.

They are remembered by the attempts that made them, not by time: hosts may disagree about the time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from sandbox.planning.settings import texts
from sandbox.system.files import read_json, write_durably
from sandbox.system.liveness import exclusive

if TYPE_CHECKING:
    from sandbox.store.records import JobStore

Forced = Mapping[str, Mapping[str, int]]
"""By forced job and fingerprint the attempt that made a record which does not count any more."""


def recorded_now(store: JobStore, jobs: Sequence[str]) -> Forced:
    """Return the present records of jobs."""
    return {job: store.attempts(job) for job in jobs}


def begin_forcing(sweep_dir: Path, cfg: DictConfig) -> None:
    """Let the jobs that a sweep forces run once more, in whichever of its trials comes first."""
    from sandbox.store.records import JobStore

    found = recorded_now(JobStore(Path(cfg.store_dir)), texts(cfg.force))
    write_durably(_path(sweep_dir), json.dumps(found))


def forced_by_sweep(sweep_dir: Path, cfg: DictConfig) -> Forced:
    """Return what a sweep forces; its first trial finds that out for all of them."""
    path = _path(sweep_dir)
    with exclusive(path.with_name(f"{path.name}.lock")):
        if _read(path) is None:
            begin_forcing(sweep_dir, cfg)
        return _read(path) or {}


def _read(path: Path) -> Forced | None:
    """Return what a sweep forces; ``None`` where the file is absent or damaged."""
    found = read_json(path)
    if found is None:
        return None
    for attempts in found.values():
        if not isinstance(attempts, dict) or not all(type(n) is int for n in attempts.values()):
            return None
    return found


def _path(sweep_dir: Path) -> Path:
    return sweep_dir / ".forced.json"
