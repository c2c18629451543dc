"""Every file in ``conf/``: it composes, fits its class, and every experiment plans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from omegaconf import OmegaConf
from toy_project import ROOT, Project

from sandbox.components import checks
from sandbox.components.allowed import FAMILIES, allowed_targets, locate
from sandbox.components.checks import nodes

CONF = ROOT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if path.parent != CONF)
GLOBAL = ("experiment", "debug", "sweep")
OPTIONS = [path for path in FILES if path.relative_to(CONF).parts[0] not in GLOBAL]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
DEBUGS = sorted(path.stem for path in (CONF / "debug").glob("*.yaml"))
ALLOWED = allowed_targets()


def name(path: Path) -> str:
    """An option as the command line names it."""
    return str(path.relative_to(CONF).with_suffix(""))


def compose(*overrides: str) -> Any:
    """The config and, under ``hydra``, what was chosen."""
    from sandbox.planning.resolvers import register_resolvers

    register_resolvers()
    with hydra.initialize_config_dir(config_dir=str(CONF)):
        return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)


def later(node: Mapping[str, Any]) -> list[str]:
    """Arguments that an experiment gives or that interpolate: only their names can be checked."""
    return [
        key
        for key, value in node.items()
        if value == "???" or (isinstance(value, str) and "${" in value)
    ]


@pytest.mark.parametrize("path", OPTIONS, ids=name)
def test_an_option_composes_and_fits_its_class(path: Path) -> None:
    group, option = name(path).rsplit("/", 1)
    own = group in ("watcher", "compute")
    cfg = compose(f"{group}={option}" if own else f"+{group}@slot={option}")
    node: Any = OmegaConf.to_container(cfg[group] if own else cfg.slot, resolve=False)
    assert node, "it is not empty"
    for place, inner in nodes(node, name(path)):
        problems = checks.problems(inner, place, ALLOWED, later(inner))
        assert not [problem for problem in problems if "does not exist" not in problem]
        missing = re.findall(r"must be given", " ".join(problems))
        assert not missing, f"what must be given is written as ???: {problems}"


@pytest.mark.parametrize("path", OPTIONS, ids=name)
def test_an_option_is_named_after_its_class(path: Path) -> None:
    """``conf/<family>/…``, one class of that family, unless the option is a choice of values."""
    node = yaml.safe_load(path.read_text())
    target = node.get("_target_") if isinstance(node, dict) else None
    if target:
        assert target.startswith("sandbox.")
        assert locate(target, ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_first_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    if lines[0].startswith("# @package"):
        assert path.relative_to(CONF).parts[0] in GLOBAL
        lines = lines[1:]
    assert lines[0].startswith("# ") and len(lines[0]) > 20


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family not in ("envs", "recipes")]
)
def test_every_component_has_an_option(family: str) -> None:
    """A class with a ``run`` of its own, or a hook, can be chosen by name."""
    targets = {
        node["_target_"]
        for path in OPTIONS
        for _, node in nodes(yaml.safe_load(path.read_text()), "")
    }
    classes = set()
    for path in sorted((ROOT / "sandbox" / family).glob("[a-z]*.py")):
        for found in re.findall(r"^class ([A-Z]\w+)", path.read_text(), re.M):
            cls = locate(f"sandbox.{family}.{path.stem}.{found}", ALLOWED)
            is_component = hasattr(cls, "run") or (family == "compute" and hasattr(cls, "map"))
            if is_component and not getattr(cls, "__abstractmethods__", None):
                classes.add(f"sandbox.{family}.{path.stem}.{found}")
    assert not classes - targets


def experiment_choices() -> list[tuple[str, ...]]:
    """Every experiment: as it is, with every debug preset, and with every model where it has one."""
    found: list[tuple[str, ...]] = []
    for experiment in EXPERIMENTS:
        found.append((f"+experiment={experiment}",))
        found += [(f"+experiment={experiment}", f"+debug={debug}") for debug in DEBUGS]
        if re.search(
            r"^\s*- (override )?/?model(@\S+)?:",
            (CONF / f"experiment/{experiment}.yaml").read_text(),
            re.M,
        ):
            found += [(f"+experiment={experiment}", f"model={model}") for model in MODELS]
    return found


@pytest.mark.parametrize("overrides", experiment_choices(), ids=" ".join)
def test_an_experiment_plans_without_problems(
    project: Project,
    overrides: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing of it is recorded, so each job is new or waits for another; nothing runs."""
    from toy_project import compose as compose_here

    from sandbox.running import run as app

    assert app.run(compose_here(*overrides, "dry_run=true"), project.root / "run") is None
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(re.search(r" (new|depends on [\w, ]+)$", line) for line in lines), lines
    assert not [record for record in caplog.records if record.levelname == "WARNING"], caplog.text
    assert not (project.root / "outputs").exists() and not (project.root / "run").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_says_its_command_and_calls_itself_by_its_name(experiment: str) -> None:
    text = (CONF / f"experiment/{experiment}.yaml").read_text()
    assert f"python -m sandbox +experiment={experiment}" in text
    assert yaml.safe_load(text)["experiment_name"] == experiment
    assert text.startswith("# @package _global_\n# ")


def test_the_frame_holds_no_experiments_values() -> None:
    cfg = compose()
    assert cfg.pipelines == {} and cfg.jobs == {} and cfg.objective is None
    assert (
        OmegaConf.missing_keys(cfg)
        - {key for key in OmegaConf.missing_keys(cfg) if key.startswith("hydra")}
        == set()
    )
