"""The project in ``examples/``: components of a user's own, run as the user would run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from contract import build, problems_of, scope
from toy_project import ROOT, compose

from sandbox.components.allowed import allowed_targets
from sandbox.components.problem import PlanError
from sandbox.planning.plan import Plan, plan

PROJECT = ROOT / "examples" / "my_project"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the project."""
    return Path(shutil.copytree(PROJECT, tmp_path / "my_project"))


@pytest.fixture
def my_parts(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a test use the project's components in this process, in the project's folder."""
    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "my_parts.*")
    monkeypatch.chdir(folder)


def run(folder: Path, *overrides: str, allowed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the project's experiment from the command line."""
    command = [sys.executable, "-m", "sandbox", "+experiment=short_or_long", *overrides]
    settings = {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder / "settings")}
    return subprocess.run(
        [*command, "watcher.mode=disabled"],
        cwd=folder,
        env={**os.environ, **settings, "SANDBOX_ALLOW_TARGETS": allowed},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_of_a_user_runs_with_its_own_components(folder: Path) -> None:
    outcome = run(folder, "jobs.train.executor.num_epochs=3", allowed="my_parts.*")

    assert outcome.returncode == 0, outcome.stderr
    (run_dir,) = (folder / "outputs" / "short_or_long").iterdir()
    infos = json.loads((run_dir / "context_infos.json").read_text())
    jobs = {info["meta_name"]: info for info in infos["main"]}
    lines = Path(jobs["pools"]["paths"][0]).read_text().splitlines()
    assert all(len(json.loads(line)["text"].split()) <= 7 for line in lines)
    assert len(jobs["train"]["model_path"]) == len(jobs["accuracy"]["accuracy"]) == 2
    card = json.loads(Path(jobs["publish"]["card_path"]).read_text())
    assert card == {"name": "short_or_long", "score": max(jobs["accuracy"]["accuracy"])}
    assert f"objective max(accuracy.accuracy) = {card['score']:.6g}" in outcome.stdout
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in events if "train.0.mistakes" in event["metrics"]]
    assert steps == [1, 2, 3], "the program's own metrics lines"


def test_a_project_runs_nothing_without_permission(folder: Path) -> None:
    outcome = run(folder)

    assert outcome.returncode == 2
    assert "my_parts.messages.LabelledTable" in outcome.stderr
    assert "SANDBOX_ALLOW_TARGETS" in outcome.stderr
    assert not (folder / "outputs" / "store").exists()


def planned(*overrides: str) -> Plan:
    """Return the plan of the project's experiment."""
    return plan(compose("+experiment=short_or_long", *overrides), allowed_targets())


def test_components_of_a_project_and_of_the_sandbox_combine(my_parts: None) -> None:
    checked = planned(
        "job@jobs.pools=downsampling",
        "~jobs.pools.manipulator.dataset_path",
        "jobs.pools.manipulator.dataset_paths=['${output:data.train_path}']",
    )
    pools = next(spec for spec in checked.jobs if spec.name == "pools")
    assert pools.config["manipulator"]["_target_"].endswith(".DataPoolDownsampling")


def test_a_rule_of_a_project_is_checked_in_the_plan(my_parts: None) -> None:
    with pytest.raises(PlanError) as caught:
        planned("jobs.pools.manipulator.short=9")
    (problem,) = caught.value.problems
    assert (problem.where, problem.kind) == ("jobs.pools.manipulator", "rule")
    assert "short is 9" in problem.text


def test_rules_and_constraints_name_the_argument(my_parts: None, tmp_path: Path) -> None:
    from my_parts.messages import LabelledTable
    from my_parts.pools import SplitByLength

    table = tmp_path / "table.csv"
    table.touch()
    found = problems_of(LabelledTable, table_path=table, heldout_every=1)
    assert [(problem.where, problem.kind) for problem in found] == [("heldout_every", "constraint")]
    found = problems_of(SplitByLength, dataset_path=table, short=8, long=8)
    assert [problem.kind for problem in found] == ["rule"]


def test_a_component_of_a_project_is_tested_without_an_experiment(
    my_parts: None, tmp_path: Path
) -> None:
    from my_parts.messages import LabelledTable

    table = tmp_path / "table.csv"
    table.write_text("text,label\nfine,praise\nbroken,complaint\nlovely,praise\n")
    made = build(LabelledTable, table_path=table, heldout_every=3).run(scope=scope(tmp_path))
    assert json.loads(made.heldout_path.read_text()) == {"text": "fine", "label": "praise"}
    assert len(made.train_path.read_text().splitlines()) == 2


@pytest.mark.parametrize("path", sorted(PROJECT.rglob("conf/**/*.yaml")), ids=lambda p: p.stem)
def test_an_option_of_the_project_begins_with_a_comment(path: Path) -> None:
    lines = path.read_text().removeprefix("# @package _global_\n").splitlines()
    assert lines[0].startswith("# ") and yaml.safe_load(path.read_text())
