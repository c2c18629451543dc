"""Rules of the rooms that import-linter and ruff cannot express; ``make lint`` checks the rest."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "sandbox"
FAMILIES = ("executors", "evaluators", "pools", "recipes", "envs", "watchers", "datasets")
CORE = ("cli", "sweeper", "running", "planning", "store", "components", "hooks")
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST_MODULE = 400
HEAVY = {"PIL", "asyncio", "numpy", "pandas", "pyarrow", "torch"}

# Modules of families that are functions or values, not components: a core room may import them.
NO_COMPONENTS = {
    "compute.slurm.queue",
    "envs.managers",
    "evaluators.caption_references",
    "evaluators.coco_caption_java",
    "evaluators.duplicate_search",
    "evaluators.minhash",
    "evaluators.pool_texts",
    "evaluators.words",
    "pools.lines",
    "pools.opening",
    "pools.table",
    "pools.writing",
    "recipes.code",
    "recipes.k_sigma",
    "recipes.operators",
    "recipes.percentiles",
    "recipes.refinement",
    "recipes.thresholds",
    "watchers.open_watcher",
    "watchers.wandb_sink",
}
NO_COMPONENTS |= {module.rpartition(".")[0] for module in NO_COMPONENTS if module.count(".") > 1}


def name(path: Path) -> str:
    """Return a module's path below the package."""
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """Return the room of a module; that of a module at the root is empty."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, dotted, without those for type checking."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, without ``sandbox.``."""
    found = {item.removeprefix("sandbox.") for item in imports(path) if item.startswith("sandbox.")}
    return {item for item in found if _is_module(item)}


def _is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_the_root_holds_only_what_belongs_there() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "hydra_search_path.py",
        "job.py",
        "samples.py",
    }


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) in CORE], ids=name)
def test_hooks_and_the_core_import_no_concrete_component(path: Path) -> None:
    wrong = {
        module
        for module in ours(path) - NO_COMPONENTS
        if "." in module and module.split(".")[0] in (*FAMILIES, "compute")
    }
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) in FAMILIES], ids=name)
def test_a_component_imports_of_other_families_only_their_bases(path: Path) -> None:
    others = set(FAMILIES) - {room(path)}
    wrong = {item for item in ours(path) if "." in item and item.split(".")[0] in others}
    wrong -= {"envs.worker", *NO_COMPONENTS}
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != ""], ids=name)
def test_rooms_do_not_import_the_package_itself(path: Path) -> None:
    """Its names are for authors of components, and import the families."""
    assert "sandbox" not in set(imports(path))


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) == "workers"], ids=name)
def test_a_worker_imports_nothing_of_the_package(path: Path) -> None:
    foreign = {"sandbox", "hydra", "omegaconf", "wandb"}
    assert not {item for item in imports(path) if item.split(".")[0] in foreign}


def test_wandb_belongs_to_the_watchers() -> None:
    users = [
        path for path in MODULES if any(item.split(".")[0] == "wandb" for item in imports(path))
    ]
    assert {room(path) for path in users} == {"watchers"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_library_code_neither_exits_nor_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if name(path) in ("system/fork_server.py", "system/supervisor.py"):
        return  # programs of their own, which fork and leave
    forbidden = {"eval", "exec", "exit", "quit", "os.fork", "os.execv", "os.execvp", "pty.spawn"}
    if room(path) != "workers" and name(path) != "__main__.py":
        forbidden |= {"sys.exit"}
    assert not calls & forbidden
    assert "shell=True" not in path.read_text()
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert all(node.type is not None for node in handlers), "a bare except"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


def loaded_by(code: str, *arguments: str, folder: Path) -> set[str]:
    """Return the names of all modules that are loaded when a Python program has ended."""
    program = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_neither_hydra_nor_a_family() -> None:
    loaded = loaded_by("import sandbox", folder=ROOT.parent)
    assert not loaded & {"hydra", "omegaconf", *(f"sandbox.{family}" for family in FAMILIES)}


@pytest.mark.parametrize(
    ("experiment", "component"),
    [("demo", "evaluators.text_diversity"), ("internvl_coco", "pools.construction")],
)
def test_the_plan_loads_no_heavy_library(experiment: str, component: str, tmp_path: Path) -> None:
    code = "from sandbox.__main__ import main; main()"
    loaded = loaded_by(code, f"+experiment={experiment}", "dry_run=true", folder=tmp_path)
    assert f"sandbox.{component}" in loaded
    assert not loaded & HEAVY


def test_no_component_loads_a_heavy_library_before_it_runs(tmp_path: Path) -> None:
    configs = "".join(path.read_text() for path in (ROOT.parent / "conf").rglob("*.yaml"))
    modules = set(re.findall(r"_target_: (sandbox[\w.]*)\.\w+", configs))
    loaded = loaded_by(f"import {', '.join(sorted(modules))}", folder=tmp_path)
    assert len(modules) > 40 and modules <= loaded
    assert not loaded & HEAVY


def test_every_public_name_can_be_imported() -> None:
    code = "import sandbox\nfor name in sandbox.__all__:\n    getattr(sandbox, name)\n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_two_modules_share_a_name_for_different_things() -> None:
    """One word means one thing, whatever the room."""
    names = [path.stem for path in MODULES if path.stem != "__init__"]
    # a worker is named after the component that starts it
    workers = {path.stem for path in MODULES if room(path) == "workers"}
    twice = {stem for stem in names if names.count(stem) > 1} - workers
    assert twice <= {"run"}, "cli/run.py is Hydra's entry to running/run.py"


def test_make_lint_checks_the_layers() -> None:
    makefile = (ROOT.parent / "Makefile").read_text()
    assert "lint-imports" in makefile and "mypy" in makefile and "ruff check" in makefile
