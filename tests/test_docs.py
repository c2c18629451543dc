"""README, the pages of ``docs/`` and their like: commands, links and quoted code are right."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from toy_project import ROOT

from sandbox.cli.listing import list_experiments
from sandbox.components.allowed import allowed_targets
from sandbox.components.problem import PlanError, Problem
from sandbox.hydra_search_path import CONF
from sandbox.planning.plan import plan
from sandbox.planning.resolvers import register_resolvers

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
]
PROJECT = ROOT / "examples" / "my_project"

EXPECTED = ("missing_path", "machine", "variable")
"""Kinds of problems that depend on the reader's files, programs, cluster and keys."""


@dataclass(frozen=True)
class Block:
    """A block of code in a page, without its indentation."""

    page: Path
    text: str

    @property
    def path(self) -> str:
        """The path in the first line, ``# path/to/file.yaml``; that of a whole experiment."""
        if self.is_experiment:
            name = re.search(r"^experiment_name: (\w+)$", self.text, re.M)
            return f"conf/experiment/{name[1]}.yaml" if name else ""
        found = re.match(r"# ([\w./-]+\.(?:py|yaml))\b", self.text)
        return found[1] if found else ""

    @property
    def is_experiment(self) -> bool:
        """True for a file that a reader copies as it stands."""
        return self.text.startswith("# @package _global_")

    @property
    def content(self) -> str:
        """The text of the file: what is below a line with the path."""
        return self.text if self.is_experiment else self.text.partition("\n")[2]


_BLOCK = re.compile(r"^```\w*\n(.*?)^```$|((?:^(?: {4,}[^\n]*)?\n)+)", re.M | re.S)


def blocks(page: Path) -> Iterator[Block]:
    """Yield fenced and indented blocks of code, in the order of the page."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        text = textwrap.dedent(found[1] or found[2]).strip("\n")
        if text:
            yield Block(page, text)


BLOCKS = [block for page in PAGES for block in blocks(page)]
QUOTED = [block for block in BLOCKS if block.path and (ROOT / block.path).exists()]
EXPERIMENTS = [
    block
    for block in BLOCKS
    if block.path.startswith("conf/experiment/") and not (ROOT / block.path).exists()
]


def commands(block: Block) -> Iterator[str]:
    """Yield the command lines of a block, each on one line."""
    text = re.sub(r"\\\n\s*", "", block.text)
    for line in text.splitlines():
        if re.match(r"(\$ )?([A-Z_]+=\S+ )*(python -m )?sandbox( |$)", line):
            yield line.removeprefix("$ ")


COMMANDS = list(dict.fromkeys(line for block in BLOCKS for line in commands(block)))


def words_of(command: str) -> list[str]:
    """Return the words after ``python -m sandbox``, without a comment."""
    words = shlex.split(command, comments=True)
    return words[words.index("sandbox") + 1 :]


def without_sweep(override: Override) -> str:
    """Return an override, or the first of the values that it names for a sweep."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return f"{override.key_or_group}={value.start}"
    return f"{override.key_or_group}={next(override.sweep_string_iterator())}"


def problems_of(overrides: list[str]) -> list[Problem]:
    """Return what a plan finds wrong with a command, apart from the reader's own machine."""
    register_resolvers()
    with hydra.initialize_config_dir(config_dir=str(CONF)):
        cfg = hydra.compose("config", overrides=overrides)
    try:
        plan(cfg, allowed_targets())
    except PlanError as error:
        return [problem for problem in error.problems if problem.kind not in EXPECTED]
    return []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the example project's ``conf/`` and the experiments of the pages."""
    (tmp_path / "messages.csv").write_text((PROJECT / "messages.csv").read_text())
    for path in (PROJECT / "conf").rglob("*.yaml"):
        copy = tmp_path / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    for block in EXPERIMENTS:
        path = tmp_path / block.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "my_parts.*")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(words_of(command)))
def test_a_command_plans(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in words_of(command) if word not in ("-m", "--multirun", "doctor")]
    if words[:1] == ["trust"]:  # asks for no plan
        return
    if not words:
        list_experiments()
        assert "+experiment=" in capsys.readouterr().out
        return
    overrides = OverridesParser.create().parse_overrides(words)
    found = problems_of([without_sweep(override) for override in overrides])
    if "chekpoint" in command:  # the README's example of mistakes
        assert len(found) == 3
        return
    assert not found


@pytest.mark.parametrize("block", EXPERIMENTS, ids=lambda block: block.path)
def test_an_experiment_of_a_page_plans(block: Block, folder: Path) -> None:
    name = block.path.removeprefix("conf/experiment/").removesuffix(".yaml")
    assert not problems_of([f"+experiment={name}"])


def test_the_readme_shows_mistakes_as_a_plan_reports_them(folder: Path) -> None:
    (block,) = [block for block in BLOCKS if "cannot run as written" in block.text]
    (command,) = commands(block)
    shown = block.text.partition("cannot run as written:\n")[2]
    expected = [f"  {problem}" for problem in problems_of(words_of(command))]
    assert shown.splitlines() == expected


def test_the_example_ends_as_its_page_shows(folder: Path) -> None:
    (block,) = [block for block in BLOCKS if "accuracy[0]" in block.text]
    command = [sys.executable, "-m", "sandbox", "+experiment=short_or_long"]
    paths = os.pathsep.join([str(ROOT), str(PROJECT)])
    outcome = subprocess.run(
        [*command, "watcher.mode=disabled"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [line for line in block.text.splitlines() if line not in outcome.stdout]


def is_part(quote: str, text: str) -> bool:
    """Return True if the lines of a quotation follow each other in a file, at any indentation."""
    wanted = textwrap.dedent(quote).splitlines()
    lines = text.splitlines()
    return any(
        textwrap.dedent("\n".join(lines[start : start + len(wanted)])).splitlines() == wanted
        for start in range(len(lines) - len(wanted) + 1)
    )


@pytest.mark.parametrize("block", QUOTED, ids=lambda block: f"{block.page.stem}:{block.path}")
def test_quoted_code_is_that_of_the_file(block: Block) -> None:
    assert is_part(block.content, (ROOT / block.path).read_text(encoding="utf-8"))


def test_every_kind_of_component_is_quoted() -> None:
    quoted = {block.path.partition("my_parts/")[2] for block in QUOTED}
    assert {path.name for path in (PROJECT / "my_parts").glob("[a-z]*.py")} <= quoted


def test_the_example_of_watch_run_picks_out_metrics() -> None:
    (block,) = [block for block in BLOCKS if "def _watch_run" in block.text]
    made: dict[str, Any] = {"re": re, "Watch": Callable}
    exec(block.text, made)
    seen = []
    watch = lambda metrics, step=None: seen.append((metrics, step))  # noqa: E731
    made["_watch_run"](SimpleNamespace(), "epoch 3: loss 0.25", watch)
    made["_watch_run"](SimpleNamespace(), "Loading the model", watch)
    assert seen == [({"loss": 0.25}, 3)]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    prose = _BLOCK.sub("\n", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)]+)\)", prose):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert not anchor or anchor in headings(path), link


_FOLDERS = "(?:conf|docs|examples|sandbox|scripts|tests)"
_PATH = re.compile(rf"`({_FOLDERS}/[\w./-]+|\w+/\w+\.py)`")


def exists(name: str) -> bool:
    """Return True for a path of the project, a room or the example project, or an experiment."""
    roots = (ROOT, ROOT / "sandbox", PROJECT, ROOT / "conf" / "experiment")
    return any((root / name).exists() or (root / f"{name}.yaml").exists() for root in roots)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_project_exist(page: Path) -> None:
    named = _PATH.findall(page.read_text(encoding="utf-8"))
    shown = {block.path for block in EXPERIMENTS}  # for the reader to copy
    assert not [name for name in named if name not in shown and not exists(name)]


def test_the_table_of_rooms_shows_the_layers_that_lint_checks() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [re.findall(r"sandbox\.(\w+)", layer) for layer in layers]
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("| room |")[2].partition("\n\n")[0]
    shown = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    assert shown == rooms
