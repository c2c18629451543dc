"""A real, throw-away SLURM cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import ROOT

SCRIPT = ROOT / "scripts" / "slurm_cluster"
DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def throw_away_cluster() -> Iterator[Path]:
    """Start a cluster and yield its folder; it ends with the generator, or with this process."""
    missing = [name for name in DAEMONS if not shutil.which(name, path=SYSTEM_PATH)]
    if missing or os.geteuid() != 0:
        lacking = ", ".join(missing) or "root"
        pytest.skip(f"a SLURM cluster needs root and Debian's packages; missing: {lacking}")
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))
    command = [sys.executable, str(SCRIPT), "up", str(directory), "--until", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield directory
    subprocess.run([sys.executable, SCRIPT, "down", directory], check=True)


def use_cluster(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SLURM's tools talk to a cluster, and end the jobs that an earlier test left in it."""
    monkeypatch.setenv("SLURM_CONF", str(directory / "slurm.conf"))
    subprocess.run(["scancel", "--user=root"], check=True)
