"""Config files and sweeps without bounds are refused before they are built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, values

from sandbox.cli.config_files import MOST_BYTES, problem_of
from sandbox.cli.sweep_size import MOST_TRIALS, size_problems

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OPTUNA_GRID = {"_target_": "sandbox.sweeper.X", "sampler": {"_target_": "optuna.x.GridSampler"}}
OPTUNA_TPE = {"_target_": "sandbox.sweeper.X", "sampler": {"_target_": "optuna.x.TPESampler"}}


def sweep(sweeper: dict[str, Any], *task: str, **more: Any) -> list[str]:
    """Return the places of what is too much in a sweep."""
    hydra = {"sweeper": sweeper, "overrides": {"task": [*task]}, **more}
    return [problem.where for problem in size_problems(hydra, is_multirun=True)]


@pytest.mark.parametrize(
    "task",
    [
        ["x=range(0,1000000000)"],
        ["x=range(0.0,1e9,1e-3)"],
        ["x=range(0,400)", "y=range(0,400)"],
        [f"x={','.join(map(str, range(400)))}", "+y=range(400)"],
    ],
    ids=["integers", "fractions", "product", "choices"],
)
def test_a_grid_has_a_limited_number_of_trials(task: list[str]) -> None:
    assert sweep({"_target_": GRID}, *task) == ["hydra.sweeper"]
    assert sweep(OPTUNA_GRID, *task) == ["hydra.sweeper"]
    assert sweep(OPTUNA_TPE, *task) == []


def test_a_usual_sweep_is_no_problem() -> None:
    assert sweep({"_target_": GRID}, "x=1,2,3", "y=range(0,100)", "~z", "w=[1,2]", "x=(") == []
    assert sweep({"_target_": GRID}, f"x=range(0,{MOST_TRIALS})") == []


def test_parameters_of_a_config_count_unless_the_command_line_replaces_them() -> None:
    sweeper = {"_target_": GRID, "params": {"x": "range(0,1000000)"}}
    assert sweep(sweeper) == ["hydra.sweeper"]
    assert sweep(sweeper, "x=1,2") == []


def test_processes_of_a_launcher_are_limited() -> None:
    assert sweep({"_target_": GRID}, launcher={"n_jobs": 100_000}) == ["hydra.launcher.n_jobs"]
    assert sweep({"_target_": GRID}, launcher={"n_jobs": -1}) == []


def test_a_config_file_has_a_limited_size(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("w") as file:
        file.truncate(MOST_BYTES + 1)
    assert "expected at most" in problem_of(path)


def test_aliases_of_a_config_file_count_as_often_as_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    lists = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path.write_text("\n".join(lists))
    assert "behind its aliases" in problem_of(path)
    path.write_text("\n".join(lists[:3]))
    assert problem_of(path) == ""
    path.write_text("a: &a [*a]")
    assert problem_of(path) == ""


def test_huge_configs_and_pipes_end_with_a_message(project: Project) -> None:
    project.write("large", "x: 1\n" + "#" * MOST_BYTES)
    outcome = project.main("large")
    assert outcome.code == 2 and "large.yaml has 10," in outcome.err
    os.mkfifo("conf/experiment/pipe.yaml")
    outcome = project.main("pipe")
    assert outcome.code == 2 and "Traceback" not in outcome.err
    project.write("toy", values("one"))
    outcome = project.main("toy", "--multirun", "jobs.one.executor.value=range(0,1000000000)")
    assert outcome.code == 2 and "a grid of 1,000,000,000 trials" in outcome.err
