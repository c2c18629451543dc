"""What a review of the frame found, each with the test that would have caught it."""

from __future__ import annotations

from typing import Any

import pytest
from toy_project import Project, experiment


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
