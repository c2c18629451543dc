"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # toys are targets by the name that a user's module has

from toy_project import CHAIN, Project

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a shell's background job: programs would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project in ``tmp_path``, which is the working directory."""
    made = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("SANDBOX_ALLOW_TARGETS", "TOYS_LEDGER", "TOYS_GATE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, made.variables[name])
    yield made
    made.end()


@pytest.fixture
def chain(project: Project) -> Project:
    """A project with the experiment ``chain``: data → train → score."""
    project.write("chain", CHAIN)
    return project
