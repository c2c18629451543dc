"""Inputs without bounds are refused in the plan, before anything is built from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.job import JobFailed
from sandbox.planning.job_map import MOST_ELEMENTS


def seeded(**also: Any) -> dict[str, Any]:
    """An experiment of one job whose component takes a seed."""
    evaluator = {"_target_": "toys.Noise"}
    return experiment({"x": ("evaluate_model", {"eval_obj": None, "evaluator": evaluator, **also})})


MANY = [*range(4_000)]


@pytest.mark.parametrize(
    ("also", "where", "kind"),
    [
        ({"seeds": 1_000_000_000}, "jobs.x.seeds", "seeds"),
        (
            {"map": {"product": True, "evaluator": {"scale": MANY, "seed": MANY}}},
            "jobs.x",
            "map",
        ),
        ({"map": {"evaluator": {"scale": MANY}}, "seeds": 30}, "jobs.x", "map"),
    ],
    ids=["seeds", "product", "map with seeds"],
)
def test_a_job_has_a_limited_number_of_elements(
    project: Project, also: dict[str, Any], where: str, kind: str
) -> None:
    project.write("toy", seeded(**also))
    (problem,) = [each for each in project.problems("toy") if each.where != "objective"]
    assert (problem.where, problem.kind) == (where, kind)
    assert f"at most {MOST_ELEMENTS:,}" in problem.text


def test_elements_that_an_earlier_job_makes_are_limited_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.planning.job_map.MOST_ELEMENTS", 3)
    mapped = {"product": True, "executor": {"value": "${output:one.values}", "seed": [1, 2]}}
    jobs = {"one": data_job("Add"), "two": data_job("Value", also={"map": mapped})}
    project.write("toy", experiment(jobs))
    with pytest.raises(JobFailed, match=r"two: jobs\.two: 4 elements .* at most 3"):
        project.run("toy")


@pytest.mark.parametrize("number", [0, 1025, 100_000])
def test_processes_at_a_time_are_limited(project: Project, number: int) -> None:
    project.write("toy", seeded())
    (problem,) = project.problems("toy", "compute=local", f"compute.num_workers={number}")
    assert (problem.where, problem.kind) == ("compute.num_workers", "constraint")


@pytest.mark.parametrize(("path", "kind"), [("pipe", "a FIFO"), ("/dev/zero", "a device")])
@pytest.mark.parametrize("argument", ["dataset_path", "more"])
def test_a_path_that_would_hang_is_a_problem(
    project: Project, argument: str, path: str, kind: str
) -> None:
    os.mkfifo("pipe")
    inputs: dict[str, Any] = {"dataset_path": "conf", "more": []}
    inputs[argument] = [path] if argument == "more" else path
    node = {"eval_obj": None, "evaluator": {"_target_": "toys.Reader", **inputs}}
    project.write("toy", experiment({"x": ("evaluate_data", node)}))
    (problem,) = project.problems("toy")
    place = f"{argument}.0" if argument == "more" else argument
    assert problem.where == f"jobs.x.evaluator.{place}"
    assert problem.text == f"{path} is {kind}, expected a regular file or a folder"


def test_a_recipe_is_a_regular_file_of_limited_size(project: Project) -> None:
    from sandbox.recipes import load_recipe

    os.mkfifo("recipe.yaml")
    with pytest.raises(ValueError, match=r"recipe\.yaml is a FIFO"):
        load_recipe(None, Path("recipe.yaml"))
    with Path("large.yaml").open("w") as file:
        file.truncate(20_000_000)
    with pytest.raises(ValueError, match="has 20,000,000 bytes"):
        load_recipe(None, Path("large.yaml"))
