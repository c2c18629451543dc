"""Faults of the machine outside an element: one message, and what finished stays recorded.

``scripts/campaigns/faults.py`` has many more of them.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobFailed
from sandbox.store.claims import take

FULL = "No space left on device"


def refuse(monkeypatch: pytest.MonkeyPatch, function: str, part: str) -> None:
    """Let calls of ``os`` fail where the path contains a text."""
    call = getattr(os, function)

    def full(*given: Any, **more: Any) -> Any:
        paths = [str(path) for path in given if isinstance(path, (str, Path))]
        if any(part in path for path in paths):
            raise OSError(errno.ENOSPC, FULL, paths[0], None, *paths[1:])
        return call(*given, **more)

    monkeypatch.setattr(os, function, full)


@pytest.mark.parametrize(
    ("function", "part", "named"),
    [
        ("replace", "context_infos.json", "context_infos.json"),
        ("symlink", "/jobs/two", "jobs/two"),
        ("mkdir", "/two/", "two"),
        ("rename", "record.json", "record.json"),
    ],
)
def test_a_full_disk_ends_the_run_with_place_and_reason_and_it_goes_on(
    project: Project, function: str, part: str, named: str
) -> None:
    jobs = {"one": data_job("Add"), "two": data_job("Add", start="${output:one.value}")}
    project.write("toy", experiment(jobs))
    project.run("toy", "jobs.two.executor.start=7")
    project.ran()
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, function, part)
        with pytest.raises(JobFailed, match=f"{named}.*{FULL}"):
            project.run("toy", "force=[two]")
    project.run("toy")
    assert project.ran().count("add 0 1") == 0, "what was recorded counts"
    assert project.info("two")["value"] == 2


def test_metrics_of_a_job_that_cannot_be_written_fail_the_job_by_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (executor,) = (cls for cls in BaseDataExecutor.__subclasses__() if cls.__name__ == "Add")
    run = executor.run

    @functools.wraps(run)
    def watch_first(self: Any, *, scope: Any) -> Any:
        (scope.output_dir.parent / "metrics.jsonl").mkdir()
        scope.watch({"loss": 1.0}, step=1)
        return run(self, scope=scope)

    monkeypatch.setattr(executor, "run", watch_first)
    project.write("toy", experiment({"x": data_job("Add")}))
    with pytest.raises(JobFailed, match=r"x: .*metrics\.jsonl: Is a directory"):
        project.run("toy")


def test_a_run_folder_that_vanishes_fails_the_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {"one": data_job("Add"), "two": data_job("Value", value="${output:one.value}")}
    project.write("toy", experiment(jobs))
    import toys

    note = toys.note

    def vanish(name: str) -> None:
        note(name)
        if name.startswith("value"):
            shutil.rmtree(project.run_dir / "jobs")

    monkeypatch.setattr(toys, "note", vanish)
    with pytest.raises(JobFailed, match="jobs/one: was removed while the run went on"):
        project.run("toy")


def test_a_claim_that_cannot_be_removed_is_free_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = take(tmp_path / "job", "job", lambda: False)
    assert claim
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "unlink", "claim")
        claim.release()
    again = take(tmp_path / "job", "job", lambda: False)
    assert again and again.number == claim.number + 1
    again.release()


def test_a_claim_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "rename", "attempts")
        with pytest.raises(OSError, match=FULL):
            take(tmp_path / "job", "job", lambda: False)
    assert [*(tmp_path / "job/attempts").iterdir()] == []
