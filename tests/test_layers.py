"""Imports point down, programs are started in one place, heavy libraries are imported where they are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "sandbox"
FAMILIES = (
    "executors",
    "evaluators",
    "pools",
    "recipes",
    "envs",
    "compute",
    "watchers",
    "datasets",
)
FRAME = tuple(
    path.stem for path in ROOT.glob("*.py") if path.stem not in ("__init__", "job", "process")
)
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "diffusers",
    "data_juicer",
    "datasets",
    "pandas",
    "wandb",
}
HEAVY |= {"PIL", "pycocoevalcap", "optuna", "submitit", "matplotlib"}
MODULES = sorted(path for path in ROOT.rglob("*.py"))
COMPONENTS = [path for path in MODULES if path.relative_to(ROOT).parts[0] in FAMILIES]
WORKERS = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "workers"]


def name(path: Path) -> str:
    """A module's path, short."""
    return str(path.relative_to(ROOT))


def imports(path: Path, at_top: bool = False) -> Iterator[str]:
    """Modules that a file imports, dotted; ``at_top`` leaves out those of functions and type checking."""
    tree = ast.parse(path.read_text())
    inside = {inner for node in ast.walk(tree) if _is_later(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if at_top and node in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_later(node: ast.AST) -> bool:
    is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return is_typing or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def ours(path: Path) -> set[str]:
    """Modules of the package that a file imports, without ``sandbox.``."""
    found = {
        module.removeprefix("sandbox.") for module in imports(path) if module.startswith("sandbox.")
    }
    return {
        module for module in found if (ROOT / module.replace(".", "/")).exists() or _is_file(module)
    }


def _is_file(module: str) -> bool:
    return (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_the_walk_sees_the_whole_package() -> None:
    assert {"app.py", "pipeline.py", "executors/__init__.py"} <= {name(path) for path in MODULES}
    assert "components" in ours(ROOT / "pipeline.py") and WORKERS and COMPONENTS


@pytest.mark.parametrize("path", COMPONENTS, ids=name)
def test_a_component_imports_its_own_family_bases_and_the_lowest_layer(path: Path) -> None:
    """``sandbox.executors`` alone is a base; ``sandbox.executors.internvl`` would be another's component."""
    family = path.relative_to(ROOT).parts[0]
    wrong = {
        m
        for m in ours(path)
        if m not in FAMILIES and m.split(".")[0] not in {family, "job", "process"}
    }
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"
    assert not {m for m in imports(path) if m.split(".")[0] in ("hydra", "omegaconf")}


@pytest.mark.parametrize("path", sorted((ROOT / "hooks").glob("*.py")), ids=name)
def test_a_hook_imports_bases_alone(path: Path) -> None:
    """And what is known about recipes, which is functions and no component."""
    wrong = {
        m for m in ours(path) if m != "job" and m not in FAMILIES and not m.startswith("recipes.")
    }
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.parametrize(
    "path", [ROOT / f"{module}.py" for module in FRAME if _is_file(module)], ids=name
)
def test_the_frame_imports_no_concrete_component(path: Path) -> None:
    """``envs.managers`` is functions and no component."""
    others = ours(path) - {"envs.managers"}
    wrong = {m for m in others if "." in m and m.split(".")[0] in (*FAMILIES, "hooks", "workers")}
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    ("module", "above"),
    [
        ("job", {*FRAME, "process", "hooks", *FAMILIES}),
        ("process", {*FRAME, "job", "hooks", *FAMILIES}),
        ("hashing", {*FRAME} - {"hashing"}),
        ("components", {*FRAME} - {"components"}),
        ("context", {*FRAME} - {"context"}),
        ("claims", {*FRAME} - {"claims"}),
        ("store", {*FRAME} - {"store", "hashing", "claims"}),
        (
            "element",
            {
                "app",
                "__main__",
                "plan",
                "spec",
                "pipeline",
                "expansion",
                "dry_run",
                "follower",
                "targets",
            },
        ),
        (
            "targets",
            {
                "app",
                "__main__",
                "plan",
                "spec",
                "pipeline",
                "expansion",
                "dry_run",
                "store",
                "element",
            },
        ),
        (
            "spec",
            {"app", "__main__", "plan", "pipeline", "expansion", "dry_run", "store", "element"},
        ),
        ("plan", {"app", "__main__", "pipeline", "expansion", "dry_run", "store", "element"}),
        ("pipeline", {"app", "__main__", "plan", "dry_run"}),
    ],
)
def test_imports_point_down(module: str, above: set[str]) -> None:
    assert not ours(ROOT / f"{module}.py") & above


@pytest.mark.parametrize("path", WORKERS, ids=name)
def test_a_worker_imports_nothing_of_the_package(path: Path) -> None:
    assert not {
        m for m in imports(path) if m.split(".")[0] in ("sandbox", "hydra", "omegaconf", "wandb")
    }


@pytest.mark.parametrize("path", [path for path in MODULES if path not in WORKERS], ids=name)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    heavy = {m for m in imports(path, at_top=True) if m.split(".")[0] in HEAVY}
    assert not heavy, f"{name(path)} imports {sorted(heavy)} at its top"


def test_wandb_belongs_to_the_watchers() -> None:
    users = {
        name(path) for path in MODULES if any(m.split(".")[0] == "wandb" for m in imports(path))
    }
    assert users and all(user.startswith("watchers/") for user in users)


STARTERS = {
    "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.posix_spawn", "os.fork",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "eval", "exec", "pty.spawn",
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in MODULES if path not in WORKERS], ids=name)
def test_programs_are_started_in_one_module(path: Path) -> None:
    if name(path) != "process.py":
        assert not {m for m in imports(path) if m.split(".")[0] in ("subprocess", "pty")}
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert not calls & STARTERS
    assert "shell=True" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_library_code_neither_exits_nor_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "exit", "quit"}
    if path not in WORKERS and name(path) != "__main__.py":
        assert "sys.exit" not in calls
    bare = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare, f"bare except in lines {bare}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
