"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# first on the path: toys are class paths by the names that modules of a user have
sys.path.insert(0, str(Path(__file__).parent / "support"))

from toy_project import CHAIN, Project

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell ignores it for background jobs, and programs that tests start would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """Take pytest's name of the test out of the environment.

    Workers with equal environments are forks of one parent, which has their libraries loaded.
    """
    os.environ.pop("PYTEST_CURRENT_TEST", None)


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
