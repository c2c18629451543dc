"""Every file in ``conf/``: it composes, fits its class, and every experiment plans."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from dry_run import shown_jobs
from omegaconf import OmegaConf
from toy_project import ROOT, Project

from sandbox.components.allowed import FAMILIES, allowed_targets, locate
from sandbox.components.checks import node_problems
from sandbox.components.problem import PlanError, Problem
from sandbox.components.signature import arguments_of
from sandbox.components.tree import nodes
from sandbox.compute import BaseCompute
from sandbox.planning.job_config import RESERVED
from sandbox.planning.plan import plan

CONF = ROOT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if path.parent != CONF)
GLOBAL = ("experiment", "debug", "sweep")
OPTIONS = [path for path in FILES if path.relative_to(CONF).parts[0] not in GLOBAL]
EXPERIMENTS = sorted(
    str(path.relative_to(CONF / "experiment").with_suffix(""))
    for path in (CONF / "experiment").rglob("*.yaml")
)
PRESETS = sorted(path.stem for path in (CONF / "job").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
DEBUGS = sorted(path.stem for path in (CONF / "debug").glob("*.yaml"))
ALLOWED = allowed_targets()
EXTERNAL = {
    "examples/prompt_pairs": ("pictures=[prompts.jsonl]", "prompts=[prompts.jsonl]"),
    "examples/instruction_quality": (
        "dataset_path=prompts.jsonl",
        "quality_model=classifier",
        "parser=parser",
    ),
}
"""Files of a user that an experiment needs; ``write_external_files`` makes stand-ins."""
NEEDS_JAVA = ("examples/instruction_quality",)
LONGEST_EXPERIMENT = 100
"""Lines without comments."""


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
    for reserved in RESERVED if group == "job" else ():
        node.pop(reserved, None)
    for place, inner in nodes(node, name(path)):
        problems = node_problems(inner, place, ALLOWED, later(inner))
        # An argument that must be given is written as ???, which `later` leaves to the experiment.
        known = ("missing_path", "rule")  # files of a user, rules about what an experiment gives
        assert not [problem for problem in problems if problem.kind not in known]


@pytest.mark.parametrize("path", OPTIONS, ids=name)
def test_an_option_is_named_after_its_class(path: Path) -> None:
    """``conf/<family>/…``, one class of that family, unless the option is a choice of values."""
    node = yaml.safe_load(path.read_text())
    target = node.get("_target_") if isinstance(node, dict) else None
    if target:
        assert target.startswith("sandbox.")
        assert locate(target, ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_begins_with_a_comment(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    if lines[0].startswith("# @package"):
        assert path.relative_to(CONF).parts[0] in GLOBAL
        lines = lines[1:]
    assert lines[0].startswith("# ") and len(lines[0]) > 20


def component_classes(family: str) -> Iterator[str]:
    """Yield the class paths of a family's concrete components: classes with a ``run``, computes."""
    for path in sorted((ROOT / "sandbox" / family).glob("[a-z]*.py")):
        for found in re.findall(r"^class ([A-Z]\w+)", path.read_text(), re.M):
            class_path = f"sandbox.{family}.{path.stem}.{found}"
            cls = locate(class_path, ALLOWED)
            is_component = hasattr(cls, "run") or issubclass(cls, BaseCompute)
            if is_component and not getattr(cls, "__abstractmethods__", None):
                yield class_path


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
    assert not {*component_classes(family)} - targets


def commands(experiment: str) -> list[list[str]]:
    """Commands in the head comment of an experiment, as the words after ``python -m sandbox``."""
    text = (CONF / f"experiment/{experiment}.yaml").read_text()
    head = text.partition("\ndefaults:")[0].replace("\\\n#", "")
    return [shlex.split(line) for line in re.findall(r"^#   python -m sandbox (.*)$", head, re.M)]


def used_classes() -> set[str]:
    """Class paths in the composed jobs of every command that an experiment names."""
    return {
        node["_target_"]
        for experiment in EXPERIMENTS
        for words in commands(experiment)
        for _, node in nodes(OmegaConf.to_container(compose(*words), resolve=False), "")
    }


def test_every_component_is_used_by_a_command_of_an_experiment() -> None:
    used = used_classes()
    families = ("hooks", "datasets", "executors", "evaluators", "pools")
    classes = {found for family in families for found in component_classes(family)}
    envs = {f"sandbox.envs.{found}" for found in ("virtual_env.VirtualEnv", "conda_env.CondaEnv")}
    assert not (classes | envs) - used


def experiment_choices() -> list[tuple[str, ...]]:
    """Every experiment: as it is, with every debug preset, with every model where it has one."""
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


def write_external_files(folder: Path) -> None:
    """Write the files of ``EXTERNAL``: as much of each as a plan looks at."""
    (folder / "prompts.jsonl").write_text('{"prompt": "Describe.", "text": "Describe."}\n')
    saved = {
        "classifier": "org.apache.spark.ml.PipelineModel",
        "classifier/stages/0": "org.apache.spark.ml.feature.Tokenizer",
        "classifier/stages/1": "org.apache.spark.ml.classification.LogisticRegressionModel",
    }
    for place, class_name in saved.items():
        metadata = folder / place / "metadata"
        metadata.mkdir(parents=True)
        (metadata / "part-00000").write_text(json.dumps({"class": class_name}))
    (folder / "parser").mkdir()
    for file in ("config.cfg", "meta.json"):
        (folder / "parser" / file).touch()


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

    experiment = overrides[0].partition("=")[2]
    if experiment in NEEDS_JAVA and shutil.which("java") is None:
        pytest.skip("its evaluator is a Java program")
    write_external_files(project.root)
    files = EXTERNAL.get(experiment, ())
    cfg = compose_here(*overrides, *files, "dry_run=true")
    assert app.run(cfg, project.root / "run") is None
    shown = capsys.readouterr().out
    lines = [re.sub(r"  (new|depends on .*)$", "", line) for line in shown.splitlines()]
    assert max(len(line) for line in lines if line.startswith("  ")) <= 100
    jobs = shown_jobs(shown)
    assert jobs
    for job in jobs.values():
        assert re.fullmatch(r"new|depends on [\w, ]+", job.reason)
        assert job.compute == str(cfg.compute["_target_"]).rpartition(".")[2].lower()
    assert not [record for record in caplog.records if record.levelname == "WARNING"], caplog.text
    assert not [*project.root.rglob("record.json")] and not (project.root / "run").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_file_shows_its_command_and_has_its_own_name(experiment: str) -> None:
    text = (CONF / f"experiment/{experiment}.yaml").read_text()
    assert f"python -m sandbox +experiment={experiment}" in text
    assert yaml.safe_load(text)["experiment_name"] == experiment
    assert text.startswith("# @package _global_\n# ")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_fits_on_a_page_and_has_no_anchors(experiment: str) -> None:
    text = (CONF / f"experiment/{experiment}.yaml").read_text()
    lines = [line.strip() for line in text.splitlines()]
    assert len([line for line in lines if line and line[0] != "#"]) <= LONGEST_EXPERIMENT
    assert not re.search(r"[:-] [&*]\w|<<:", text)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_names_its_jobs_by_presets(experiment: str) -> None:
    """Its defaults hold no hooks, so every job's hook and component are one line."""
    defaults = yaml.safe_load((CONF / f"experiment/{experiment}.yaml").read_text())["defaults"]
    chosen = [key for entry in defaults if isinstance(entry, dict) for key in entry]
    assert not [key for key in chosen if key.startswith("/hook")]
    assert not [key for key in chosen if key.startswith("/data@")], "data is chosen at the root"


def test_the_frame_holds_no_experiments_values() -> None:
    cfg = compose()
    assert cfg.pipelines == {} and cfg.jobs == {} and cfg.objective is None
    assert (
        OmegaConf.missing_keys(cfg)
        - {key for key in OmegaConf.missing_keys(cfg) if key.startswith("hydra")}
        == set()
    )


def options_for(hook_argument: Any, group: str) -> list[str]:
    """Options of a group whose class is of the type that an argument of a hook takes."""
    found = []
    for path in sorted((CONF / group).glob("*.yaml")):
        cls = locate(yaml.safe_load(path.read_text())["_target_"], ALLOWED)
        if issubclass(cls, hook_argument):
            found.append(path.stem)
    return found


def preset_swaps(preset: str) -> list[tuple[str, str, str]]:
    """Group, argument and option of every component that may replace the preset's own."""
    cfg = compose(f"+job@jobs.x={preset}")
    hook = locate(cfg.jobs.x["_target_"], ALLOWED)
    swaps = []
    for key in cfg.hydra.runtime.choices:
        group, _, package = str(key).partition("@")
        argument = package.removeprefix("jobs.x.")
        if argument in arguments_of(hook):
            options = options_for(arguments_of(hook)[argument].annotation, group)
            swaps += [(group, argument, option) for option in options]
    return swaps


def problems_of_plan(cfg: Any) -> list[Problem]:
    """Return everything that the plan finds wrong."""
    try:
        plan(cfg, ALLOWED)
    except PlanError as error:
        return error.problems
    return []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_begins_with_its_hook_and_has_one_component(preset: str) -> None:
    text = (CONF / f"job/{preset}.yaml").read_text()
    first, *others = yaml.safe_load(text)["defaults"]
    assert [*first] == ["/hook@_here_"]
    assert others[-1] == "_self_" and len(others) <= 2


@pytest.mark.parametrize("preset", PRESETS)
def test_the_component_of_a_preset_can_be_swapped(preset: str, project: Project) -> None:
    """A preset's own values are arguments of every component that its hook takes."""
    swaps = preset_swaps(preset)
    overrides = [
        text
        for index, (group, argument, option) in enumerate(swaps)
        for text in (
            f"+job@jobs.x{index}={preset}",
            f"{group}@jobs.x{index}.{argument}={option}",
        )
    ]
    names = [f"x{index}" for index in range(len(swaps))]
    cfg = compose(*overrides, f"+pipelines.main.execution_jobs=[{','.join(names)}]")
    for index, (group, argument, option) in enumerate(swaps):
        class_path = yaml.safe_load((CONF / f"{group}/{option}.yaml").read_text())["_target_"]
        assert cfg.jobs[f"x{index}"][argument]["_target_"] == class_path
    assert not [found for found in problems_of_plan(cfg) if found.kind == "unknown_argument"]


@pytest.mark.parametrize(
    ("override", "place", "class_name"),
    [
        ("job@jobs.diversity=near_duplicates", "diversity.evaluator", "NearDuplicates"),
        ("hook@jobs.refine=refine_recipe_via_percentiles", "refine", "ViaPercentilesHook"),
        ("executor@jobs.train.executor=internvl_training", "train.executor", "InternVLTraining"),
        ("evaluator@jobs.diversity.evaluator=pool_distance", "diversity.evaluator", "PoolDistance"),
        ("env@jobs.train.executor.env=uv", "train.executor.env", "VirtualEnv"),
        ("data=shapes_caption", "data.executor", "ShapesCaption"),
        ("probe=analyzer", "probe_again.analyzer", "DataJuicerAnalyzer"),
    ],
)
def test_parts_of_a_job_are_chosen_from_the_command_line(
    override: str, place: str, class_name: str
) -> None:
    cfg = compose("+experiment=demo", override)
    assert OmegaConf.select(cfg.jobs, place)["_target_"].endswith(class_name)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_data_is_chosen_at_the_root(experiment: str) -> None:
    cfg = compose(f"+experiment={experiment}")
    if "data" not in cfg.jobs:
        assert "data" not in cfg
        return
    changed = compose(f"+experiment={experiment}", "data=shapes_caption", "data.num_train=7")
    assert changed.jobs.data.executor.num_train == 7
