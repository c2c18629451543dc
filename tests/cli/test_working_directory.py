"""The working directory on the path: the same for both spellings, never before packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import ROOT, Project, experiment

MINE = """
from dataclasses import dataclass
from sandbox import BaseDataExecutor, JobScope

@dataclass(frozen=True, kw_only=True)
class One:
    value: int

@dataclass(frozen=True, kw_only=True)
class Mine(BaseDataExecutor):
    def run(self, *, scope: JobScope) -> One:
        return One(value=1)
"""
MODULE = [sys.executable, "-m", "sandbox"]
SCRIPT = [sys.executable, "-c", "import sys; from sandbox.__main__ import main; sys.exit(main())"]


def start(
    project: Project, command: list[str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        **project.variables,
        "PYTHONPATH": str(ROOT),
        "SANDBOX_ALLOW_TARGETS": "mine.*",
    }
    return subprocess.run(
        [*command, *arguments],
        cwd=project.root,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_a_component_of_the_working_directory_is_found(
    project: Project, command: list[str]
) -> None:
    (project.root / "mine.py").write_text(MINE)
    job = ("general_data_executor", {"executor": {"_target_": "mine.Mine"}})
    project.write("toy", experiment({"mine": job}, objective="mine.value"))
    done = start(project, command, "+experiment=toy", "watcher.mode=disabled")
    assert done.returncode == 0, done.stderr
    assert "objective mine.value = 1" in done.stdout


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("name", ["yaml", "psutil", "datetime", "omegaconf"])
def test_a_file_of_the_working_directory_shadows_no_package(
    project: Project, command: list[str], name: str
) -> None:
    Path(project.root, f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    project.write("toy", experiment({}))
    done = start(project, command, "+experiment=toy", "dry_run=true")
    assert "shadowed" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_plugins_of_the_working_directory_are_not_loaded(
    project: Project, command: list[str]
) -> None:
    folder = project.root / "hydra_plugins" / "mine"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("open('loaded', 'w')\n")
    start(project, command, "doctor")
    start(project, command, "+experiment=nope")
    assert not (project.root / "loaded").exists()
