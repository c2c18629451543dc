"""``force``: which records it replaces, whatever the clocks of the hosts show."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_project import Project, data_job, experiment

from sandbox.running import attempt
from sandbox.running.forced import begin_forcing, forced_by_sweep
from sandbox.running.run import run


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    """Let attempts run on a host whose clock is ahead."""
    monkeypatch.setattr(attempt, "time", SimpleNamespace(time=lambda: time.time() + ahead_s))


@pytest.mark.parametrize("ahead_s", [-1e5, 1e5], ids=["behind", "ahead"])
@pytest.mark.parametrize("is_first", [True, False], ids=["the first run", "the forced run"])
def test_a_forced_job_runs_once_more_whatever_the_clock_shows(
    project: Project, monkeypatch: pytest.MonkeyPatch, ahead_s: float, is_first: bool
) -> None:
    project.write("toy", experiment({"add": data_job("Add")}))
    set_clock(monkeypatch, ahead_s if is_first else 0)
    project.run("toy")
    project.ran()
    set_clock(monkeypatch, 0 if is_first else ahead_s)
    project.run("toy", "force=[add]")
    assert project.ran() == ["add 0 1"]
    (record,) = project.records("add")
    assert json.loads(record.read_text())["attempt"] == 2
    project.run("toy")
    assert project.ran() == []


def test_what_another_trial_of_the_sweep_has_forced_already_is_reused(
    project: Project, tmp_path: Path
) -> None:
    project.write("toy", experiment({"add": data_job("Add"), "new": data_job("Add", start=5)}))
    project.run("toy", "jobs.new.executor.start=0")
    project.ran()
    cfg = project.compose("toy", "force=[add,new]")
    sweep_dir = tmp_path / "sweep"
    for expected in (["add 0 1", "add 5 1"], [], []):
        run(cfg, project.run_dir, forced=forced_by_sweep(sweep_dir, cfg))
        assert project.ran() == expected
    begin_forcing(sweep_dir, cfg)
    run(cfg, project.run_dir, forced=forced_by_sweep(sweep_dir, cfg))
    assert project.ran() == ["add 0 1", "add 5 1"], "another driver forces once more"


def test_a_forced_run_that_fails_is_forced_again(project: Project) -> None:
    job = data_job("Unstable", stable=False, error_once_done=True)
    project.write("toy", experiment({"make": job}))
    project.run("toy")
    project.ran()
    (project.gate / "break").touch()
    with pytest.raises(RuntimeError, match="broke after writing"):
        project.run("toy", "force=[make]")
    (project.gate / "break").unlink()
    project.ran()
    project.run("toy", "force=[make]")
    assert project.ran() == ["unstable"]


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"add": 3}', '{"add": {"x": "y"}}'])
def test_damage_to_what_a_sweep_forces_means_that_it_forces_anew(
    project: Project, tmp_path: Path, damage: str
) -> None:
    project.write("toy", experiment({"add": data_job("Add")}))
    project.run("toy")
    project.ran()
    cfg = project.compose("toy", "force=[add]")
    before = forced_by_sweep(tmp_path / "sweep", cfg)
    (tmp_path / "sweep/.forced.json").write_text(damage)
    assert forced_by_sweep(tmp_path / "sweep", cfg) == before
    run(cfg, project.run_dir, forced=before)
    assert project.ran() == ["add 0 1"]
