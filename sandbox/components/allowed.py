"""Which classes a config may name, and finding them."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sandbox.components.permissions import PERMISSIONS, ask_for_class, is_allowed_class, words
from sandbox.components.trusted import EVERYTHING, allow_lines, is_trusted
from sandbox.system.process import SAFE_PATH
from sandbox.system.wording import did_you_mean

FAMILIES = (
    "hooks",
    "executors",
    "evaluators",
    "pools",
    "recipes",
    "envs",
    "compute",
    "watchers",
    "datasets",
)
"""Rooms whose classes an experiment may name."""


_OURS = tuple(f"sandbox.{family}.*" for family in FAMILIES)


class TargetError(ValueError):
    """A class path is not allowed, or names nothing that can be built."""


def allowed_targets() -> tuple[str, ...]:
    """Return patterns of class paths that may be built, ours and the user's, and permissions.

    A person allows more through ``SANDBOX_ALLOW_TARGETS="my_package.*,other.Class"``,
    ``SANDBOX_ALLOW="recipe-code"``, by lines in ``~/.config/sandbox/allow_targets``, or by trust in
    the working directory; a config cannot.
    """
    return (*_OURS, *users_patterns(), *_permissions())


def our_targets(allowed: Sequence[str]) -> tuple[str, ...]:
    """Return what is left of permissions without those of the user: our classes, outputs_dir."""
    return tuple(text for text in allowed if text in _OURS or ":" in text)


def users_patterns() -> tuple[str, ...]:
    """Return the patterns of class paths that the user allows."""
    found = [*words(os.environ.get("SANDBOX_ALLOW_TARGETS", "")), *allow_lines()]
    found += [EVERYTHING] if is_trusted(Path.cwd()) else []
    return tuple(text for text in found if text not in PERMISSIONS)


def _permissions() -> list[str]:
    """Return the permissions that the user gives; their names are no class paths."""
    found = [*words(os.environ.get("SANDBOX_ALLOW", "")), *allow_lines()]
    return [text for text in found if text in PERMISSIONS]


def reach_working_directory() -> None:
    """Put the working directory last on ``sys.path``, if the user has allowed code of their own.

    Without permission nothing there needs to be imported.
    """
    name, ours = SAFE_PATH
    is_unwanted = sys.flags.safe_path and os.environ.get(name) != ours
    here = str(Path.cwd())
    if users_patterns() and not is_unwanted and here not in sys.path:
        sys.path.append(here)


def locate(target: Any, allowed: Sequence[str]) -> type:
    """Return the class that ``target`` names; nothing is imported before the name is found allowed.

    Raises:
        TargetError: Not allowed, not there, or not a class of the module that the target names.
    """
    _check_allowed(target, allowed)
    return _locate(target)


def locate_function(target: Any, allowed: Sequence[str]) -> Callable[..., Any]:
    """Return the function that ``target`` names, under the same rule as a class.

    Raises:
        TargetError: Not allowed, not there, or not a function of the module that is named: a
            module's other attributes are other people's code, such as ``my_module.os.system``.
    """
    _check_allowed(target, allowed)
    module_name, _, name = target.rpartition(".")
    module = _imported(module_name, target)
    found = vars(module).get(name)
    if not inspect.isfunction(found) or found.__module__ != module_name:
        own = [item for item in vars(module).values() if inspect.isfunction(item)]
        functions = [item.__name__ for item in own if item.__module__ == module_name]
        raise TargetError(f"{target}: no such function; {did_you_mean(name, functions)}")
    return found


def _check_allowed(target: Any, allowed: Sequence[str]) -> None:
    if not isinstance(target, str) or "." not in target:
        raise TargetError(f"class path {target!r} is not module.Class")
    if not is_allowed_class(target, allowed):
        patterns = ", ".join(text for text in allowed if text.partition(":")[0] not in PERMISSIONS)
        raise TargetError(f"{target} is not allowed; allowed: {patterns}; {ask_for_class(target)}")


def _imported(module_name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever goes wrong in a user's module
        reason = f"{type(error).__name__}: {error}"
        raise TargetError(f"{target}: cannot import {module_name}: {reason}") from error


@cache
def _locate(target: str) -> type:
    module_name, _, name = target.rpartition(".")
    module = _imported(module_name, target)
    found = getattr(module, name, None)
    if not inspect.isclass(found) or found.__module__ != module_name:
        own = [item for item in vars(module).values() if inspect.isclass(item)]
        classes = [item.__name__ for item in own if item.__module__ == module_name]
        raise TargetError(f"{target}: no such class; {did_you_mean(name, classes)}")
    return found


ALLOWED = allowed_targets()
"""Read at import, before any config: ``hydra.job.env_set`` of an experiment comes too late."""
