"""Packages that `make run` installs, and the message of a command that needs more."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from sandbox import __main__

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", each)[0].lower() for each in requirements}


def test_make_run_installs_what_data_juicer_depends_on_but_its_dashboard() -> None:
    """It installs Data-Juicer without dependencies, so a new one of them must be added here."""
    try:
        needed = [each for each in requires("py-data-juicer") or [] if "extra ==" not in each]
    except PackageNotFoundError:
        pytest.skip("Data-Juicer is not installed")
    project = tomllib.loads(PROJECT.read_text())["project"]
    installed = names([*project["dependencies"], *project["optional-dependencies"]["run"]])
    assert names(needed) - installed == {"streamlit", "uv"}


@pytest.mark.parametrize(
    ("details", "is_named"),
    [
        ("In 'config': Could not find 'hydra/sweeper/optuna'", True),
        ("Could not find 'hydra/launcher/joblib'", True),
        ("Could not find 'experiment/none'", False),
    ],
    ids=["sweeper", "launcher", "other"],
)
def test_a_sweeper_that_is_not_installed_is_named_with_its_extra(
    details: str, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "find_spec", lambda name: None)
    assert ("sandbox[sweeps]" in __main__._extra_hint(details)) == is_named
