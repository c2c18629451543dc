"""The top-level keys of a config: everything but its jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from sandbox.components.problem import Problem
from sandbox.components.values import shortened, value_problems
from sandbox.job import NonEmptyText, NonNegativeInt, PositiveInt
from sandbox.system.wording import did_you_mean, listed, nearest

Texts = str | Sequence[str] | None

SETTINGS: Mapping[str, Any] = {
    "experiment_name": str | int,
    "pipelines": Mapping[str, Any],
    "jobs": Mapping[str, Any],
    "max_iterations": PositiveInt,
    "targets": Texts | Mapping[str, Any],
    "objective": Texts,
    "force": Texts,
    "dry_run": bool,
    "cap": Mapping[str, Any],
    "outputs_dir": NonEmptyText,
    "store_dir": NonEmptyText,
}
"""Annotation of every key of the frame but ``watcher`` and ``compute``, which are components."""

KEYS = (*SETTINGS, "watcher", "compute")

_CAPS: Mapping[str, Any] = {
    "numbers": Mapping[str, float],
    "lists": Mapping[str, NonNegativeInt],
}
LONGEST_NAME = 100
"""Longest name of a job, and of a part of an experiment's name, in bytes: each names a folder."""

FOLDERS = ("outputs_dir", "store_dir")

_RESOLVERS = ("output", "previous", "oc.env", "oc.select", "now")


STRUCTURE = ("pipelines", "jobs", "targets", "objective", "force", "cap", "store_dir")
"""Keys without which nothing else of a config can be read."""


def read_settings(cfg: DictConfig) -> tuple[dict[str, Any], list[Problem]]:
    """Return the settings that are right, as plain data, and what is wrong with the others.

    Of ``jobs`` only the names are read: each job is resolved by itself.
    """
    settings: dict[str, Any] = {}
    problems = []
    for key, annotation in SETTINGS.items():
        try:
            value = _plain(cfg, key)
        except OmegaConfBaseException as error:
            problems.append(interpolation_problem(error, key))
            continue
        found = list(value_problems(value, annotation, key))
        if key == "cap" and not found:
            value, found = _caps(value)
        if key in FOLDERS and folder_problem(value):
            found = [Problem(key, "setting", folder_problem(value))]
        problems += found
        if not found:
            settings[key] = value
    return settings, problems


def folder_problem(value: Any) -> str:
    """Return why a value is no folder for results of runs; empty text if it is one."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        return f"given {shortened(value)}, expected a folder"
    path = Path(os.path.realpath(value))
    return f"given {value!r}, expected a folder below it" if path == path.parent else ""


def unknown_keys(cfg: DictConfig) -> Iterator[Problem]:
    """Yield keys that look like a misspelt key of the frame; other keys are an experiment's own."""
    for key in map(str, cfg):
        if key == "experiment" and not cfg.pipelines:
            # Hydra then puts the whole file under the name of its group
            text = "an experiment's file must begin with the line `# @package _global_`"
            yield Problem(key, "setting", text)
            continue
        close = nearest(key, KEYS, cutoff=0.8)
        if key not in KEYS and close:
            text = "there is no such key at the top of a config"
            yield Problem(key, "setting", text, f"did you mean {close}?")


def texts(value: Any) -> list[str]:
    """Return the list of a value that may be one text or several."""
    if value is None or value == {}:
        return []
    items = value if isinstance(value, (list, ListConfig)) else [value]
    return [str(item) for item in items]


def interpolation_problem(error: OmegaConfBaseException, where: str) -> Problem:
    """Return the problem of an interpolation that cannot be resolved."""
    text = str(error).splitlines()[0]
    unknown = re.fullmatch(r"Unsupported interpolation type (\S+)", text)
    hint = did_you_mean(unknown[1], _RESOLVERS) if unknown else ""
    return Problem(error.full_key or where, "interpolation", text, hint)


def unresolved(node: Any) -> Any:
    """Return a node of a config as plain data, as ``OmegaConf.to_container`` does.

    That one takes five times as long, and its other features are for structured configs.
    """
    value = node._value()
    if isinstance(value, dict):
        return {key: unresolved(child) for key, child in value.items()}
    if isinstance(value, list):
        return [unresolved(child) for child in value]
    return unresolved(value) if isinstance(value, Node) else value


def resolved_data(node: Any) -> Any:
    """Return a node of a config as plain data, its interpolations resolved.

    Raises:
        OmegaConfBaseException: One cannot be resolved, or leads back to itself.
    """
    if not OmegaConf.is_config(node):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except RecursionError as error:
        raise InterpolationResolutionError("an interpolation leads back to itself") from error


def _plain(cfg: DictConfig, key: str) -> Any:
    value = cfg[key]
    if key == "jobs" and isinstance(value, DictConfig):
        return dict.fromkeys(value)
    return resolved_data(value)


def _caps(caps: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
    """Return the limits by kind and argument, and what is wrong with them."""
    if set(caps) != set(_CAPS):
        text = f"expected cap.numbers and cap.lists, given {listed(f'cap.{kind}' for kind in caps)}"
        return {}, [Problem("cap", "setting", text)]
    caps = {kind: caps[kind] or {} for kind in _CAPS}
    problems: list[Problem] = []
    for kind, annotation in _CAPS.items():
        problems += value_problems(caps[kind], annotation, f"cap.{kind}")
    return caps, problems
