"""The output of ``dry_run=true``: component, compute and inputs of each job."""

from __future__ import annotations

import pytest
from dry_run import ShownJob, shown_jobs
from toy_project import Project, data_job, experiment


def shown(project: Project, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """Return the output of a dry run of ``toy``."""
    project.run("toy", "dry_run=true", *overrides)
    return capsys.readouterr().out


def test_a_jobs_own_compute_is_shown_with_its_settings(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {"one": data_job("Add"), "two": data_job("Add", start=2)}
    project.write("toy", experiment(jobs))
    out = shown(
        project, capsys, "+compute@jobs.two.compute=local", "jobs.two.compute.num_workers=1"
    )
    one, two = shown_jobs(out).values()
    assert (one.compute, two.compute) == ("inline", "local")
    assert "      compute.num_workers = 1" in out.splitlines()


def test_mapped_components_are_named_by_their_class(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    executors = [{"_target_": "toys.Add", "start": start} for start in (1, 2)]
    job = {"map": {"executor": executors}}
    project.write("toy", experiment({"many": ("general_data_executor", job)}))
    jobs = shown_jobs(shown(project, capsys))
    assert {label: job.component for label, job in jobs.items()} == {
        "many[0]": "Add",
        "many[1]": "Add",
    }


def test_inputs_are_shown_where_they_are_used(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {
        "first": data_job("Add"),
        "second": data_job("Add", start="${output:first.value}"),
        "many": data_job("Add", also={"map": {"executor": {"start": ["${output:second.value}"]}}}),
        "back": data_job("Add", start="${previous:second.value, 0}"),
    }
    project.write("toy", experiment(jobs, max_iterations=2))
    place, compute = "main.execution_jobs", "inline"
    assert shown_jobs(shown(project, capsys)) == {
        "first": ShownJob(place, "Add", compute, "new", {}),
        "second": ShownJob(
            place, "Add", compute, "depends on first", {"executor.start": "first.value"}
        ),
        "many": ShownJob(
            place, "Add", compute, "depends on second", {"map.executor.start.0": "second.value"}
        ),
        "back": ShownJob(place, "Add", compute, "new", {"executor.start": "previous second.value"}),
    }


def test_many_inputs_are_wrapped(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"a_job_with_a_long_name_{index}" for index in range(4)]
    jobs = {name: data_job("Add") for name in names}
    starts = [f"${{output:{name}.value}}" for name in names]
    jobs["sum"] = data_job("Add", also={"map": {"executor": {"start": starts}}})
    project.write("toy", experiment(jobs))
    out = shown(project, capsys)
    assert list(shown_jobs(out)["sum"].inputs.values()) == [f"{name}.value" for name in names]
    assert max(len(line) for line in out.splitlines() if line.startswith("      ")) <= 100


def test_a_value_that_a_map_replaces_is_not_looked_at(project: Project) -> None:
    job = data_job(
        "Value", value=[{"_target_": "x"}], also={"map": {"executor": {"value": [1, 2]}}}
    )
    project.write("toy", experiment({"x": job}))
    project.run("toy", "dry_run=true")
    project.run("toy")
    assert project.ran() == ["value 1", "value 2"]
