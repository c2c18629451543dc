"""What a config may do by itself, what needs permission, and what is always refused.

This is the one place for the rule; docs/security.md is its description for users. A permission is
given by the person who starts the run and never by a config: class paths by
``SANDBOX_ALLOW_TARGETS``, everything else by name in ``SANDBOX_ALLOW``, or both by lines of the
user's allow file. Functions here read a config and import none of the code that it names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sandbox.components.problem import Problem

PERMISSIONS: Mapping[str, str] = {
    "env-variables": "an environment variable that can change how programs start",
    "outside-files": "a file or folder outside outputs_dir",
    "recipe-code": "a recipe that carries code, starts programs or writes files anywhere",
    "interpreter": "an interpreter or an env of the config's choice",
    "code-folder": "installing the code of a folder or a URL",
    "shell-lines": "lines of shell, or options that start programs",
    "config-sources": "further places from which configs are read",
    "remote-code": "code that comes with a model or a data set",
    "storage-url": "a database that a URL names",
}
"""Names of the permissions besides class paths, each with what it permits."""

HYDRA_CLASSES = (
    "sandbox.sweeper.OptunaAsyncSweeper",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
)
"""Launchers and sweepers."""

SEARCH_CLASSES = (
    "hydra_plugins.hydra_optuna_sweeper._impl.create_nsgaii_sampler",
    "hydra_plugins.hydra_optuna_sweeper._impl.create_nsgaiii_sampler",
    "hydra_plugins.hydra_optuna_sweeper.config.raise_motpe_removed",
    "optuna.samplers.CmaEsSampler",
    "optuna.samplers.GPSampler",
    "optuna.samplers.GridSampler",
    "optuna.samplers.QMCSampler",
    "optuna.samplers.RandomSampler",
    "optuna.samplers.TPESampler",
    "optuna.pruners.HyperbandPruner",
    "optuna.pruners.MedianPruner",
    "optuna.pruners.NopPruner",
    "optuna.pruners.PatientPruner",
    "optuna.pruners.PercentilePruner",
    "optuna.pruners.SuccessiveHalvingPruner",
    "optuna.pruners.ThresholdPruner",
    "optuna.pruners.WilcoxonPruner",
)
"""Samplers and pruners."""

LOGGING_CLASSES = (
    "logging.FileHandler",
    "logging.Formatter",
    "logging.NullHandler",
    "logging.StreamHandler",
    "colorlog.ColoredFormatter",
)
"""Handlers and formatters of Hydra's own logging configs, and the handler that drops all."""

_PLAIN_VARIABLES = (
    "OMP_*",
    "MKL_*",
    "NCCL_*",
    "TOKENIZERS_*",
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
)
# NCCL loads libraries that these name.
_LOADING_VARIABLES = ("NCCL_*PLUGIN*", "NCCL_CONF_FILE", "OMP_TOOL*", "MKL_*PATH*")


def is_permitted(permission: str, allowed: Collection[str]) -> bool:
    """Return True if the person who started the run gave this permission, or allowed all code."""
    return permission in allowed or "*" in allowed


def is_allowed_class(target: str, allowed: Collection[str]) -> bool:
    """Return True if a class path matches one of the allowed patterns."""
    return any(fnmatchcase(target, pattern) for pattern in allowed)


def needs(permission: str, where: str, text: str) -> Problem:
    """Return the problem of a config that asks for a permission that it does not have."""
    hint = f'to allow it: SANDBOX_ALLOW="{permission}"'
    return Problem(where, "permission", f"{text}: this needs your permission", hint)


def unknown_permissions() -> Iterator[Problem]:
    """Yield names in ``SANDBOX_ALLOW`` that permit nothing."""
    for name in words(os.environ.get("SANDBOX_ALLOW", "")):
        if name not in PERMISSIONS:
            hint = f"available: {', '.join(PERMISSIONS)}"
            yield Problem("SANDBOX_ALLOW", "permission", f"there is no permission {name!r}", hint)


def words(text: str) -> list[str]:
    """Return the parts of a text between commas, without blanks and empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def variable_problems(names: Collection[Any], where: str, allowed: Any) -> Iterator[Problem]:
    """Yield the environment variables that a config must not set by itself.

    Variables of our own are always refused: a config cannot give a permission.
    """
    for name in map(str, names):
        place = f"{where}.{name}"
        if name.upper().startswith("SANDBOX_"):
            yield Problem(
                place, "permission", "variables of sandbox itself are not allowed in a config"
            )
            continue
        is_plain = is_allowed_class(name, _PLAIN_VARIABLES)
        if is_plain and not is_allowed_class(name, _LOADING_VARIABLES):
            continue
        if not is_permitted("env-variables", allowed):
            yield needs("env-variables", place, f"sets the environment variable {name}")


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Return True if ``path`` is ``folder`` or lies below it, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def path_problems(path: Any, root: str, where: str, allowed: Collection[str]) -> Iterator[Problem]:
    """Yield the problem of a file or folder that is to be written outside ``root``."""
    if not isinstance(path, str) or is_permitted("outside-files", allowed):
        return
    # Parts that are known only while the run starts, such as ${hydra:job.num}, are names.
    if not is_inside(_without_interpolations(path), root):
        yield needs("outside-files", where, f"given {path!r}, which is not below {root!r}")


def _without_interpolations(text: str) -> str:
    shorter = re.sub(r"\$\{[^{}]*\}", "x", text)
    return text if shorter == text else _without_interpolations(shorter)
