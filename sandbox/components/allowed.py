"""Which classes a config may name, and finding them."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

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


class TargetError(ValueError):
    """A class path is not allowed, or names nothing that can be built."""


def allowed_targets() -> tuple[str, ...]:
    """Return patterns of class paths that may be built: ours, and those that the user allows.

    A person allows more through ``SANDBOX_ALLOW_TARGETS="my_package.*,other.Class"`` or by lines in
    ``~/.config/sandbox/allow_targets``; a config cannot.
    """
    settings = (
        Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "sandbox/allow_targets"
    )
    lines = settings.read_text().splitlines() if settings.is_file() else []
    extra = [*os.environ.get("SANDBOX_ALLOW_TARGETS", "").split(","), *lines]
    patterns = [text.partition("#")[0].strip() for text in extra]
    return (*(f"sandbox.{family}.*" for family in FAMILIES), *(text for text in patterns if text))


def locate(target: Any, allowed: Sequence[str]) -> type:
    """Return the class that ``target`` names; nothing is imported before the name is found allowed.

    Raises:
        TargetError: Not allowed, not there, or not a class of the module that the target names.
    """
    if not isinstance(target, str) or "." not in target:
        raise TargetError(f"class path {target!r} is not module.Class")
    if not any(fnmatchcase(target, pattern) for pattern in allowed):
        raise TargetError(
            f"{target} is not allowed; allowed: {', '.join(allowed)}; "
            f'to allow it: SANDBOX_ALLOW_TARGETS="{target}"'
        )
    return _locate(target)


@cache
def _locate(target: str) -> type:
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever goes wrong in a user's module
        reason = f"{type(error).__name__}: {error}"
        raise TargetError(f"{target}: cannot import {module_name}: {reason}") from error
    found = getattr(module, name, None)
    if not inspect.isclass(found) or found.__module__ != module_name:
        own = [item for item in vars(module).values() if inspect.isclass(item)]
        classes = [item.__name__ for item in own if item.__module__ == module_name]
        raise TargetError(f"{target}: no such class; {did_you_mean(name, classes)}")
    return found


ALLOWED = allowed_targets()
"""Read at import, before any config: ``hydra.job.env_set`` of an experiment comes too late."""
