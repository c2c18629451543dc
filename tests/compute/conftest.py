"""A real SLURM cluster for the tests of this folder, started once and ended with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import throw_away_cluster, use_cluster
from toy_project import Project


@pytest.fixture(scope="session")
def cluster_dir() -> Iterator[Path]:
    """A throw-away cluster."""
    yield from throw_away_cluster()


@pytest.fixture
def cluster(cluster_dir: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cluster that SLURM's tools talk to, without jobs of an earlier test."""
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "toys.*,slurm_toys.*")
    monkeypatch.setenv("PYTHONPATH", project.variables["PYTHONPATH"])
    project.variables["SANDBOX_ALLOW_TARGETS"] = os.environ["SANDBOX_ALLOW_TARGETS"]
    use_cluster(cluster_dir, monkeypatch)
    return cluster_dir
