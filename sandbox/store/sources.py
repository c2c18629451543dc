"""The code and packages behind a record: what is recorded, and what has changed since."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.tree import nodes
from sandbox.envs import CurrentEnv, Env
from sandbox.store.content import canonical
from sandbox.store.modules import Code, code_of, hash_of
from sandbox.system import process

_MOST_NAMES = 3

Changes = tuple[Collection[str], Collection[str], Collection[str]]
"""Classes, modules and packages that changed."""

# To read the metadata of all packages takes 0.2 s.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


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
    recorded: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    allowed: Sequence[str],
    known: dict[str, Changes] | None = None,
) -> str:
    """Return what changed in the code of a job's classes since its elements were recorded.

    Args:
        recorded: Node and ``run`` of the record, for every element.
        allowed: Patterns of allowed targets.
        known: Remembers what was found for other jobs of the same classes, until it is cleared.

    Returns:
        Classes and packages, for a message; empty text if nothing changed.
    """
    known = {} if known is None else known
    classes: set[str] = set()
    modules: set[str] = set()
    packages: set[str] = set()
    for config, run in recorded:
        targets = sorted({node["_target_"] for _, node in nodes(config)})
        key = canonical([targets, run["sources"], run["packages"]])
        if key not in known:  # most elements have the same
            known[key] = _changes(config, run, allowed)
        for all_names, names in zip((classes, modules, packages), known[key], strict=True):
            all_names.update(names)
    texts = sorted(packages)
    if classes:
        names = _some(sorted(classes))
        texts = [f"the source of {names} changed ({_some(sorted(modules))})", *texts]
    return "; ".join(texts)


def _changes(config: Mapping[str, Any], run: Mapping[str, Any], allowed: Sequence[str]) -> Changes:
    """Return what changed in the code of a node's classes since ``run``."""
    packages = [
        f"{name} {before} is now {_version(name) or 'not installed'}"
        for name, before in run["packages"].items()
        if _version(name) != before
    ]
    # Only a file that changed can lead to others: no source is parsed where none has.
    if all(hash_of(name) == before for name, before in run["sources"].items()):
        return (), (), packages
    found = _changed_modules(config, allowed, run["sources"])
    return found.keys(), set().union(*found.values()), packages


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
    gone = {name for name in before if not hash_of(name)}
    return found or dict.fromkeys(codes, gone)


def _codes(config: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Code]:
    """Return the code of every class in a node, by class path."""
    found = {}
    for _, node in nodes(config):
        target = node["_target_"]
        if target not in found:
            found[target] = code_of(locate(target, allowed))
    return found


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


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
