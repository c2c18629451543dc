"""A real SLURM cluster for the tests of this folder, started once and ended with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import ROOT, Project

SCRIPT = ROOT / "scripts" / "slurm_cluster"
DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@pytest.fixture(scope="session")
def cluster_dir() -> Iterator[Path]:
    """A throw-away cluster; ends when the tests do, and when they are killed."""
    missing = [name for name in DAEMONS if not shutil.which(name, path=SYSTEM_PATH)]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"a SLURM cluster needs root and Debian's packages; missing: {', '.join(missing) or 'root'}"
        )
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))
    command = [sys.executable, SCRIPT, "up", directory, "--until", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield directory
    subprocess.run([sys.executable, SCRIPT, "down", directory], check=True)


@pytest.fixture
def cluster(cluster_dir: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cluster is the one that SLURM's tools talk to; no job of an earlier test is left in it."""
    monkeypatch.setenv("SLURM_CONF", str(cluster_dir / "slurm.conf"))
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "toys.*,slurm_toys.*")
    monkeypatch.setenv("PYTHONPATH", f"{project.variables['PYTHONPATH']}:{Path(__file__).parent}")
    project.variables["SANDBOX_ALLOW_TARGETS"] = os.environ["SANDBOX_ALLOW_TARGETS"]
    project.variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
    monkeypatch.syspath_prepend(Path(__file__).parent)
    subprocess.run(["scancel", "--user=root"], check=True)
    return cluster_dir
