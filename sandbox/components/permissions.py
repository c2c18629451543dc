"""Permissions: the limits of a config, and the requests that only a person can allow.

This is the one place for the rule; docs/security.md is its description for users. A permission is
given by the person who starts the run and never by a config: class paths by
``SANDBOX_ALLOW_TARGETS``, everything else by name in ``SANDBOX_ALLOW``, both by lines of the user's
allow file, or all of them by trust in the working directory. Functions here read a config and
import none of the code that it names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.components.problem import Problem
from sandbox.components.tree import is_node, leaves
from sandbox.components.trusted import unbelieved_files
from sandbox.components.values import Pending
from sandbox.system.weights import weights_permission

PERMISSIONS: Mapping[str, str] = {
    "env-variables": "an environment variable that can change how programs start",
    "outside-files": "a file or folder outside outputs_dir",
    "recipe-code": "a recipe that carries code, starts programs or writes files anywhere",
    "interpreter": "an interpreter or an env of the config's choice",
    "code-folder": "installing the code of a folder or a URL",
    "credentials": "sending the value of a variable to an index of the config's choice",
    "shell-lines": "lines of shell, or options that start programs",
    "config-sources": "further places from which configs are read",
    "remote-code": "code that comes with a model or a data set",
    "storage-url": "a database that a URL names",
    "pickled-weights": "weights in a format that can carry code",
    "torchscript": "a model that is a program",
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
_NEEDS = ": this needs your permission"
_OR_TRUST = ", or for all of this folder: sandbox trust"
# Libraries that are loaded, and files that are written.
_LOADING_VARIABLES = ("NCCL_*PLUGIN*", "NCCL_*FILE*", "OMP_TOOL*", "MKL_*PATH*", "MKL_*FILE*")


def with_outputs_dir(allowed: Sequence[str], folder: str) -> tuple[str, ...]:
    """Return permissions with that of writing below a folder that the user has chosen."""
    return (*allowed, f"outside-files:{os.path.realpath(folder)}")


def is_permitted(permission: str, allowed: Collection[str]) -> bool:
    """Return True if the person who started the run gave this permission, or allowed all code."""
    return permission in allowed or "*" in allowed


def is_allowed_class(target: str, allowed: Collection[str]) -> bool:
    """Return True if a class path matches one of the allowed patterns."""
    return _matches(target, tuple(allowed))


@cache
def _matches(target: str, patterns: tuple[str, ...]) -> bool:
    # Thirty times a job, for the same few classes.
    return any(fnmatchcase(target, pattern) for pattern in patterns)


def needs(permission: str, where: str, text: str) -> Problem:
    """Return the problem of a config that asks for a permission that it does not have."""
    hint = f'to allow it: SANDBOX_ALLOW="{permission}"{_OR_TRUST}'
    return Problem(where, "permission", f"{text}{_NEEDS}", hint)


def as_used(problem: Problem) -> str:
    """Return one line about a request that the user has allowed."""
    return f"{problem.where}: {problem.text.removesuffix(_NEEDS).removesuffix(' is not allowed')}"


def ask_for_class(target: Any) -> str:
    """Return how a person allows a class path."""
    return f'to allow it: SANDBOX_ALLOW_TARGETS="{target}"{_OR_TRUST}'


def unknown_permissions() -> Iterator[Problem]:
    """Yield names in ``SANDBOX_ALLOW`` that permit nothing, and files that are not believed."""
    for file in unbelieved_files():
        yield Problem(file.path, "permission", f"is not believed: {file.fault}")
    for name in words(os.environ.get("SANDBOX_ALLOW", "")):
        if name not in PERMISSIONS:
            hint = f"available: {', '.join(PERMISSIONS)}"
            yield Problem("SANDBOX_ALLOW", "permission", f"there is no permission {name!r}", hint)


def words(text: str) -> list[str]:
    """Return the parts of a text between commas, without blanks and empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def variable_problems(
    variables: Mapping[Any, Any], where: str, allowed: Collection[str]
) -> Iterator[Problem]:
    """Yield the environment variables that a config must not set by itself.

    Variables of our own are always refused: a config cannot give a permission. Values that are
    paths need one, because a path of the config may be built from the variable later.
    """
    for key, value in variables.items():
        name = str(key)
        place = f"{where}.{name}"
        if name.upper().startswith("SANDBOX_"):
            yield Problem(
                place, "permission", "variables of sandbox itself are not allowed in a config"
            )
            continue
        is_plain = is_allowed_class(name, _PLAIN_VARIABLES)
        is_plain = is_plain and not re.search(r"/|\.\.|\$\{", str(value))
        if is_plain and not is_allowed_class(name, _LOADING_VARIABLES):
            continue
        if not is_permitted("env-variables", allowed):
            yield needs("env-variables", place, f"sets the environment variable {name}")


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Return True if ``path`` is ``folder`` or lies below it, links followed."""
    if "\0" in f"{path}{folder}":  # no path at all
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def path_problems(path: Any, root: str, where: str, allowed: Collection[str]) -> Iterator[Problem]:
    """Yield the problem of a file or folder that is to be written outside ``root``."""
    if not isinstance(path, str) or is_permitted("outside-files", allowed):
        return
    # The value of an interpolation that is left could lead anywhere.
    if "${" in path or not is_inside(path, root):
        yield needs("outside-files", where, f"given {path!r}, which is not below {root!r}")


def _is_outside(path: Any, allowed: Collection[str]) -> bool:
    """Return True for a path neither below the working directory nor below ``outputs_dir``."""
    if not isinstance(path, (str, Path)) or is_permitted("outside-files", allowed):
        return False
    chosen = [text.partition(":")[2] for text in allowed if text.startswith("outside-files:")]
    place = Path(path).expanduser()
    return not any(is_inside(place, folder) for folder in (".", *chosen))


def without_interpolations(text: str, instead: str = "x") -> str:
    """Return a text whose interpolations are replaced, those inside others too."""
    shorter = re.sub(r"\$\{[^{}]*\}", instead, text)
    return text if shorter == text else without_interpolations(shorter, instead)


def component_permissions(
    cls: type, node: Mapping[str, Any], where: str, allowed: Collection[str]
) -> Iterator[Problem]:
    """Yield what a component's arguments ask for and the user does not allow.

    Components inside it are looked at by themselves, values that are known later when they are
    known.

    Args:
        cls: Class of the component.
        node: Its node, references parsed.
        where: Its dotted place.
        allowed: What the user permits.
    """
    own = {key: _own(value) for key, value in node.items() if not is_node(value)}
    bases = _bases(cls)
    for owner in bases & _ARGUMENTS.keys():
        for name, (permission, asks) in _ARGUMENTS[owner].items():
            value = own.get(name)
            if value and asks(value) and not is_permitted(permission, allowed):
                shown = "a secret" if permission == "credentials" else repr(value)
                text = f"given {shown}, {PERMISSIONS[permission]}"
                yield needs(permission, f"{where}.{name}", text)
    for name in _WRITTEN.keys() & own.keys():
        if bases & _WRITTEN[name] and _is_outside(own[name], allowed):
            text = f"given {str(own[name])!r}, below neither the working directory nor outputs_dir"
            yield needs("outside-files", f"{where}.{name}", text)
    own_leaves = [*leaves(own, where)]
    yield from _weights_problems(cls, own_leaves, allowed)
    for place, leaf in own_leaves:
        is_remote = place.endswith(".trust_remote_code") and bool(leaf)
        if is_remote and not is_permitted("remote-code", allowed):
            yield needs("remote-code", place, "runs code that comes with a model or a data set")
    variables = own.get("variables")
    if isinstance(variables, Mapping):
        yield from variable_problems(variables, f"{where}.variables", allowed)
    # A family knows its own arguments best: hooks of recipes find code in them.
    ask = getattr(cls, "permissions", None)
    arguments = {key: value for key, value in own.items() if key != "_target_"}
    for place, permission, text in ask(arguments) if ask else ():
        if not is_permitted(permission, allowed):
            yield needs(permission, f"{where}.{place}", text)


@cache
def _bases(cls: type) -> frozenset[str]:
    return frozenset(f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)


def _weights_problems(
    cls: type, own_leaves: Sequence[tuple[str, Any]], allowed: Collection[str]
) -> Iterator[Problem]:
    """Yield weights in a format that can carry code; a user's own classes know what they load."""
    if not cls.__module__.startswith("sandbox."):
        return
    for place, leaf in own_leaves:
        if not isinstance(leaf, (str, Path)) or not place.endswith(_WEIGHTS):
            continue
        permission = weights_permission(Path(leaf))
        if permission and not is_permitted(permission, allowed):
            yield needs(permission, place, f"given {str(leaf)!r}, {PERMISSIONS[permission]}")


def _own(value: Any) -> Any:
    """Return a value without the components inside it."""
    if isinstance(value, Mapping):
        return {key: _own(child) for key, child in value.items() if not is_node(child)}
    if isinstance(value, (list, tuple)):
        return [_own(child) for child in value if not is_node(child)]
    return value


def _always(value: Any) -> bool:
    return not isinstance(value, Pending)


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, Path)) and os.sep in str(value)


def _has_sources(value: Any) -> bool:
    """Return True if a package is given by a folder or a URL."""
    texts = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(text, str) and _SOURCE.search(text) for text in texts)


_SOURCE = re.compile(r"[/\\@]|^\.|\.(?:whl|egg|zip|conda|tgz|tbz2?|tar(?:\.\w+)?)(?:\[.*)?\s*$")


def _exports(value: Any) -> bool:
    names = [str(key).replace("_", "-") for key in value] if isinstance(value, Mapping) else []
    return any(name in SBATCH_VARIABLES for name in names)


SBATCH_VARIABLES = ("export", "export-file")
"""Options of sbatch that set environment variables."""

_ARGUMENTS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "sandbox.envs.isolated.IsolatedEnv": {
        "env_name": ("interpreter", _is_path),
        "python": ("interpreter", _is_path),
        "code_dir": ("code-folder", _always),
        "dependencies": ("code-folder", _has_sources),
        "packages": ("code-folder", _has_sources),
        "index_credentials": ("credentials", _always),
    },
    "sandbox.compute.slurm.Slurm": {
        "setup": ("shell-lines", _always),
        "additional_parameters": ("env-variables", _exports),
    },
}
"""By class and argument: the permission, and the values that need it."""

_WRITTEN: Mapping[str, set[str]] = {
    "root": {"sandbox.envs.isolated.IsolatedEnv"},
    "folder": {"sandbox.compute.slurm.Slurm"},
}
"""Arguments that name folders to write, and their classes."""

_WEIGHTS = ("model_path", "eval_obj", "name_or_path", "checkpoint_path", "weights_path")
"""Ends of the places of arguments that name models."""
