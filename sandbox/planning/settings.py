"""The top-level keys of a config: everything but its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.problem import Problem
from sandbox.components.values import value_problems
from sandbox.job import NonEmptyText, PositiveInt
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

_CAPS: Mapping[str, Any] = {"numbers": Mapping[str, float], "lists": Mapping[str, int]}
_RESOLVERS = ("output", "previous", "oc.env", "oc.select", "now")


STRUCTURE = ("pipelines", "jobs", "targets", "objective", "force", "cap", "store_dir")
"""Keys without which nothing else of a config can be read."""


def setting_problems(cfg: DictConfig) -> Iterator[Problem]:
    """Yield values of a wrong kind."""
    for key, annotation in SETTINGS.items():
        try:
            value = _plain(cfg, key)
        except OmegaConfBaseException as error:
            yield interpolation_problem(error, key)
            continue
        found = list(value_problems(value, annotation, key))
        yield from found
        if key == "cap" and not found:
            yield from _cap_problems(cfg)


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


def _plain(cfg: DictConfig, key: str) -> Any:
    """Return a resolved setting; of a mapping whose content is checked elsewhere only ``{}``."""
    value = cfg[key]
    if isinstance(value, DictConfig):
        return {}
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _cap_problems(cfg: DictConfig) -> Iterator[Problem]:
    caps = OmegaConf.to_container(cfg.cap, resolve=True)
    if not isinstance(caps, dict) or set(caps) != set(_CAPS):
        names = [f"cap.{kind!s}" for kind in caps] if isinstance(caps, dict) else [repr(caps)]
        text = f"expected cap.numbers and cap.lists, given {listed(names)}"
        yield Problem("cap", "setting", text)
        return
    for kind, annotation in _CAPS.items():
        yield from value_problems(caps[kind] or {}, annotation, f"cap.{kind}")
