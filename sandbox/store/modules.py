"""Modules and programs behind a class, found by reading sources, without importing them.

The code of a component is every module of ours and of the user that its class imports, at once or
later, and every program that one of these starts: a worker by its name, a script by its path
beside the module, a module after ``-m``. What is installed counts as a package.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_WORKERS = "sandbox.workers"
_INSTALLED = {"site-packages", "dist-packages"}


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


def code_of(cls: type) -> Code:
    """Follow imports and programs from the modules of a class and its bases."""
    code = Code()
    waiting = [base.__module__ for base in cls.__mro__]
    while waiting:
        name = waiting.pop()
        source_hash = hash_of(name)
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


# Names of modules and their files.


def _top(name: str) -> str:
    return re.split("[.:]", name, maxsplit=1)[0]


def _is_program(name: str) -> bool:
    """Return True for a module that runs as a program, and so finds its siblings by bare name."""
    return ":" in name or name.startswith(f"{_WORKERS}.")


@cache
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


def hash_of(name: str) -> str:
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


# Imports and programs that a source names.


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
