"""What a review of the frame found, each with the test that would have caught it."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, experiment

from sandbox.executors import BaseModelExecutor
from sandbox.job import Outputs


@pytest.fixture(autouse=True)
def bad_toys(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the toys that behave badly."""
    project.variables["SANDBOX_ALLOW_TARGETS"] = "toys.*,bad_toys.*"
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "toys.*,bad_toys.*")


def bad_job(target: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A job of a toy that behaves badly."""
    return "general_data_executor", {"executor": {"_target_": f"bad_toys.{target}", **arguments}}


def test_env_set_of_an_experiment_allows_no_targets(project: Project) -> None:
    body = experiment(
        {
            "x": (
                "general_data_executor",
                {"executor": {"_target_": "logging.FileHandler", "filename": "pwned"}},
            )
        }
    )
    body["hydra"] = {"job": {"env_set": {"SANDBOX_ALLOW_TARGETS": "logging.*,toys.*"}}}
    project.write("toy", body)
    outcome = project.main("toy")
    assert not (project.root / "pwned").exists()
    assert outcome.code == 2 and "not allowed" in outcome.err


def test_a_program_without_a_last_newline_ends(tmp_path: Path) -> None:
    class Quiet(BaseModelExecutor):
        async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
            log_path.write_text("100%")

        def outputs(self, output_dir: Path) -> Outputs:
            return {}

    signal.alarm(10)
    Quiet().run(output_dir=tmp_path, log_path=tmp_path / "log", watch=lambda metrics, step=None: None)
    signal.alarm(0)


@pytest.mark.parametrize(
    "line",
    [
        '{"metrics": {"loss": 1}, "st',
        '{"metrics": {"loss": 1}, "step": 1}Warning: x',
        '{"metrics": 5}',
        '{"metrics"',
    ],
)
def test_a_garbled_metric_fails_no_training(tmp_path: Path, line: str) -> None:
    seen = []

    class Noisy(BaseModelExecutor):
        async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
            log_path.write_text(line + '\n{"metrics": {"loss": 2}, "step": 2}\n')

        def outputs(self, output_dir: Path) -> Outputs:
            return {}

    Noisy().run(
        output_dir=tmp_path, log_path=tmp_path / "log", watch=lambda m, step=None: seen.append((m, step))
    )
    assert seen[-1] == ({"loss": 2}, 2)


def test_a_component_that_exits_with_0_has_failed(project: Project) -> None:
    for compute in ("inline", "local"):
        project.write("toy", experiment({"x": bad_job("Exits", code=0)}))
        outcome = project.main("toy", f"compute={compute}")
        assert outcome.code == 1 and "x" in outcome.err, (compute, outcome)


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_seeds_with_a_score_that_is_no_number(project: Project, scale: float) -> None:
    node = {"eval_obj": None, "evaluator": {"_target_": "toys.Noise", "scale": scale}, "seeds": 2}
    project.write("toy", experiment({"x": ("evaluate_model", node)}))
    project.run("toy")
    assert math.isnan(project.info("x")["score_std"]) and not math.isfinite(project.info("x")["score"])


def test_pictures_that_a_forced_job_draws_anew_are_recorded(project: Project) -> None:
    project.write("toy", experiment({"x": bad_job("Pictures")}))
    project.run("toy")
    project.ran()
    project.run("toy", "force=[x]")
    record = project.records("x")[0].read_text()
    project.run("toy")
    assert project.records("x")[0].read_text() == record, "it is as it was recorded"
