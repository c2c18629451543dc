"""Source code and packages behind components, found by reading sources, without importing them.

The code of a component is every module of ours and of the user that its class imports, at once or
later, and every program that one of these starts: a worker by its name, a script by its path
beside the module, a module after ``-m``. Packages that are installed count by their version.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.tree import nodes
from sandbox.envs import CurrentEnv, Env
from sandbox.store.content import canonical
from sandbox.system import process

_WORKERS = "sandbox.workers"
_INSTALLED = {"site-packages", "dist-packages"}
_MOST_NAMES = 3

# To read the metadata of all packages takes 0.2 s.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


@dataclass
class Code:
    """The code behind one or several classes.

    Args:
        modules: Hash of every source file by module, or by ``<module>:<path>`` for a script.
        packages: Installed packages, by import name, that modules import.
        worker_packages: Those that programs import, which may run in another env.
    """

    modules: dict[str, str] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    worker_packages: set[str] = field(default_factory=set)


def sources_of(config: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    """Return what a record says about the code of a node's classes.

    ``sources`` has the hashes of modules, ``packages`` the versions of distributions, ``git`` the
    commit of the working directory and if tracked files differ from it.
    """
    codes = list(_codes(config, allowed).values())
    packages = set().union(*(code.packages for code in codes))
    classes = [locate(node["_target_"], allowed) for _, node in nodes(config)]
    # Another env has other packages; its own log lists them.
    if not any(issubclass(cls, Env) and not issubclass(cls, CurrentEnv) for cls in classes):
        packages = packages.union(*(code.worker_packages for code in codes))
    names = {name for package in packages for name in _distributions(package)}
    return {
        "sources": {name: code.modules[name] for code in codes for name in sorted(code.modules)},
        "packages": {name: _version(name) for name in sorted(names)},
        "git": _commit(),
    }


def changes(
    recorded: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], allowed: Sequence[str]
) -> str:
    """Return what changed in the code of a job's classes since its elements were recorded.

    Args:
        recorded: Node and ``run`` of the record, for every element.
        allowed: Patterns of allowed targets.

    Returns:
        Classes and packages, for a message; empty text if nothing changed.
    """
    classes: set[str] = set()
    modules: set[str] = set()
    packages: set[str] = set()
    seen: set[str] = set()
    for config, run in recorded:
        targets = sorted({node["_target_"] for _, node in nodes(config)})
        key = canonical([targets, run["sources"], run["packages"]])
        if key in seen:  # as for most elements of a job
            continue
        seen.add(key)
        for name, before in run["packages"].items():
            if _version(name) != before:
                packages.add(f"{name} {before} is now {_version(name) or 'not installed'}")
        # Only a file that changed can lead to others: no source is parsed where none has.
        if any(_hash(name) != before for name, before in run["sources"].items()):
            found = _changed_modules(config, allowed, run["sources"])
            classes |= found.keys()
            modules = modules.union(*found.values())
    texts = sorted(packages)
    if classes:
        names = _some(sorted(classes))
        texts = [f"the source of {names} changed ({_some(sorted(modules))})", *texts]
    return "; ".join(texts)


def _changed_modules(
    config: Mapping[str, Any], allowed: Sequence[str], before: Mapping[str, str]
) -> dict[str, set[str]]:
    """Return the modules that differ from those of a record, by the class that they belong to."""
    found = {}
    codes = _codes(config, allowed)
    for target, code in codes.items():
        differing = {name for name in code.modules if code.modules[name] != before.get(name)}
        if differing:
            found[target] = differing
    gone = {name for name in before if not _hash(name)}
    return found or dict.fromkeys(codes, gone)


def _codes(config: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Code]:
    """Return the code of every class in a node, by class path."""
    found = {}
    for _, node in nodes(config):
        target = node["_target_"]
        if target not in found:
            found[target] = _code_of(locate(target, allowed))
    return found


def _code_of(cls: type) -> Code:
    """Follow imports and programs from the modules of a class and its bases."""
    code = Code()
    waiting = [base.__module__ for base in cls.__mro__]
    while waiting:
        name = waiting.pop()
        source_hash = _hash(name)
        if name in code.modules or not source_hash:
            continue
        code.modules[name] = source_hash
        for imported in _imports(name, source_hash):
            package = _top(imported)
            if not _is_installed(package):
                waiting.append(imported)
            elif _is_program(name):
                code.worker_packages.add(package)
            else:
                code.packages.add(package)
    return code


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


# Names of modules and their files.


def _top(name: str) -> str:
    return re.split("[.:]", name, maxsplit=1)[0]


def _is_program(name: str) -> bool:
    """Return True for a module that runs as a program, and so finds its siblings by bare name."""
    return ":" in name or name.startswith(f"{_WORKERS}.")


def _file(name: str) -> Path | None:
    """Return the source file of a module or script; ``None`` unless it is ours or the user's."""
    module, _, script = name.partition(":")
    if _is_installed(_top(name)):
        return None
    spec = _spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    return path.parent / script if script else path


@cache
def _is_installed(package: str) -> bool:
    """Return True for the standard library, and for packages that were installed."""
    if package == "sandbox":
        return False
    if package in sys.stdlib_module_names:
        return True
    spec = _spec(package)
    places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    return any(_INSTALLED & set(Path(place).parts) for place in places)


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Return where a module is, without importing it or the packages above it."""
    if name in sys.modules:
        return sys.modules[name].__spec__
    parent = name.rpartition(".")[0]
    folders = None
    try:
        if parent:
            above = _spec(parent)
            folders = list(above.submodule_search_locations or ()) if above else []
        return PathFinder.find_spec(name, folders)
    except (KeyError, ValueError):  # a package without __init__.py that is not imported yet
        return None


_hashes: dict[tuple[Path, int, int], str] = {}


def _hash(name: str) -> str:
    """Return the hash of a module's source; empty text where there is none that can be read."""
    path = _file(name)
    if path is None:
        return ""
    try:
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in _hashes:
            _hashes[key] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
    return _hashes[key]


# What a source imports and starts.


@cache
def _imports(name: str, source_hash: str) -> frozenset[str]:
    """Return the modules and scripts that a source names."""
    path = _file(name)
    assert path is not None
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # it may be for another Python
        return frozenset()
    found: set[str] = set()
    for imported in _Names(name, path).names_in(tree):
        if ":" in imported:
            found.add(imported)
        else:  # the packages above a module run first
            found.update(itertools.accumulate(imported.split("."), "{}.{}".format))
    return frozenset(found)


class _Names:
    """Reads the names of modules and programs in one source.

    Args:
        name: Name of the module.
        path: Its source file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._anchor, _, script = name.partition(":")
        self._folder = path.parent
        self._from_anchor = os.path.dirname(script)  # noqa: PTH120  a part of a name
        is_package = path.name == "__init__.py"
        self._package = name if is_package else name.rpartition(".")[0]

    def names_in(self, tree: ast.AST) -> Iterator[str]:
        """Yield the names in a part of the source."""
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                waiting += node.orelse
                continue
            yield from self._names_at(node)
            waiting += ast.iter_child_nodes(node)

    def _names_at(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield self._sibling(alias.name)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                base = self._sibling(self._base(module or "", level))
                yield base
                for alias in aliases:
                    yield f"{base}.{alias.name}"  # of which those that are no modules have no file
            case ast.Constant(value=str(text)):
                yield from self._program(text)
            case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str(text))):
                yield from self._program("/".join([*_texts(node.left), text]))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for first, second in itertools.pairwise(items):
                    match first, second:
                        case ast.Constant(value="-m"), ast.Constant(value=str(text)):
                            yield from [] if _is_installed(_top(text)) else [text]

    def _base(self, module: str, level: int) -> str:
        """Return the absolute name of the module in ``from … import``."""
        if not level:
            return module
        above = self._package.split(".")
        return ".".join([*above[: len(above) - level + 1], *filter(None, [module])])

    def _sibling(self, module: str) -> str:
        """Return the name of a program's sibling where ``module`` is one, else ``module``."""
        if not _is_program(self._name) or not (self._folder / f"{module}.py").is_file():
            return module
        if ":" not in self._name:
            return f"{self._package}.{module}"
        return f"{self._anchor}:{os.path.join(self._from_anchor, module)}.py"  # noqa: PTH118

    def _program(self, text: str) -> Iterator[str]:
        """Yield the program that a text in the source names, if it does."""
        if text in _workers():
            yield f"{_WORKERS}.{text}"
        elif text.endswith(".py") and len(text) < 200 and (self._folder / text).is_file():
            yield f"{self._anchor}:{os.path.join(self._from_anchor, text)}"  # noqa: PTH118


def _texts(node: ast.AST) -> list[str]:
    """Return the texts at the end of ``folder / "a" / "b"``."""
    match node:
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=str(text))):
            return [*_texts(left), text]
    return []


@cache
def _workers() -> frozenset[str]:
    folder = Path(__file__).parents[1] / "workers"
    return frozenset(path.stem for path in folder.glob("[!_]*.py"))


# Packages and commit; both stay as they are while this process lasts.


@cache
def _distributions(package: str) -> tuple[str, ...]:
    """Return the distributions that an installed package comes from."""
    if package in sys.stdlib_module_names:
        return ()
    name = _DISTRIBUTIONS.get(package, package)
    return (name,) if _version(name) else tuple(_all_distributions().get(package, ()))


@cache
def _all_distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def _commit() -> dict[str, Any]:
    """Return the commit of the working directory's repository; empty where there is none."""
    # A repository's own settings may name a program to be run, and the index is not ours to write.
    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    try:
        lines = process.output(
            [*git, "status", "--porcelain=v2", "--branch", "--untracked-files=no"], timeout_s=10
        ).splitlines()
    except process.ProcessError:
        return {}
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    is_dirty = any(not line.startswith("#") for line in lines)
    return {"commit": commits[0] if commits else "", "dirty": is_dirty}
