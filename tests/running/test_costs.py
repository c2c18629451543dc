"""Costs of the jobs of a run."""

from __future__ import annotations

import json

import pytest
from toy_project import Project, data_job, experiment

from sandbox.running.costs import Costs, cost_lines

SHORT = {
    "seconds": 50.0,
    "cpu_seconds": 75.0,
    "gpu_seconds": 0.0,
    "peak_memory_mb": 80.0,
    "written_mb": 3.0,
}
LONG = {
    "seconds": 7000.0,
    "cpu_seconds": 9000.0,
    "gpu_seconds": 14000.0,
    "peak_memory_mb": 5120.0,
    "written_mb": 2048.0,
}


def summed(*runs: dict[str, float], jobs: int = 1) -> Costs:
    """Return the costs of elements, dealt out to jobs in turn."""
    costs = Costs()
    for number, run in enumerate(runs):
        costs.add((1, f"job{number % jobs}"), run)
    return costs


@pytest.mark.parametrize(
    ("ran", "reused", "lines"),
    [
        (summed(), summed(), []),
        (
            summed(SHORT, SHORT, LONG, jobs=2),
            summed(SHORT, jobs=1),
            [
                "2 jobs with 3 elements ran: 118.3 min, 2.5 CPU-h, 3.9 GPU-h, at most 5.0 GB of"
                " memory, 2.0 GB written",
                "1 job reused, which had taken 50.0 s, 75.0 CPU-s",
            ],
        ),
        (
            summed(SHORT, SHORT, SHORT, jobs=3),
            summed(),
            ["3 jobs ran: 2.5 min, 3.8 CPU-min, at most 80 MB of memory, 9 MB written"],
        ),
        (summed(), summed({"seconds": 3.0}), ["1 job reused, which had taken 3.0 s, 0.0 CPU-s"]),
    ],
    ids=["nothing", "much", "nothing reused", "a record of an earlier version"],
)
def test_costs_are_added_up(ran: Costs, reused: Costs, lines: list[str]) -> None:
    assert [*cost_lines(ran, reused)] == lines


@pytest.mark.parametrize("compute", ["inline", "local"])
def test_every_record_says_what_its_job_cost_and_the_run_adds_them_up(
    project: Project, compute: str, caplog: pytest.LogCaptureFixture
) -> None:
    add = data_job("Add", also={"map": {"executor": {"by": [1, 2]}}})
    project.write("toy", experiment({"one": data_job("Add"), "two": add}))
    caplog.set_level("INFO")
    project.run("toy", f"compute={compute}")
    for job in ("one", "two"):
        for path in project.records(job):
            run = json.loads(path.read_text())["run"]
            assert run.keys() >= SHORT.keys()
            assert run["peak_memory_mb"] > 10
    assert "2 jobs with 3 elements ran: " in caplog.text and "reused" not in caplog.text
    caplog.clear()
    project.run("toy", f"compute={compute}")
    assert "2 jobs with 3 elements reused, which had taken " in caplog.text
    assert " ran: " not in caplog.text
