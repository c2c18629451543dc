"""Sweeps of toys, and a real SLURM cluster for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import throw_away_cluster, use_cluster
from sweeps import Sweeps
from toy_project import Project


@pytest.fixture
def sweeps(project: Project) -> Sweeps:
    """The project's sweeps."""
    return Sweeps(project)


@pytest.fixture(scope="session")
def cluster_dir() -> Iterator[Path]:
    """A throw-away cluster without accounting."""
    yield from throw_away_cluster()


@pytest.fixture
def cluster(cluster_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cluster that SLURM's tools talk to, without jobs of an earlier test."""
    use_cluster(cluster_dir, monkeypatch)
    return cluster_dir
