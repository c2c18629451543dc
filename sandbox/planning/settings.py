"""What the frame's own keys must look like: everything of a config but its jobs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.planning.job_config import frame_problems, resolved
from sandbox.planning.wording import unresolved

ANY: tuple[type, ...] = ()
SHAPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "experiment_name": ("text", (str, int)),
    "pipelines": ("a mapping by name", (dict,)),
    "jobs": ("a mapping by name", (dict,)),
    "max_iterations": ("a positive number", ANY),
    "targets": ("texts", ANY),
    "objective": ("texts", ANY),
    "force": ("texts", ANY),
    "dry_run": ("true or false", (bool,)),
    "cap": ("cap.numbers and cap.lists", (dict,)),
    "outputs_dir": ("a path", (str,)),
    "store_dir": ("a path", (str,)),
}
"""What each key of the frame holds, and of which types; ``ANY`` is looked at where it is used."""

KEYS = (*SHAPES, "watcher", "compute")


def shape_problems(cfg: DictConfig) -> Iterator[str]:
    """Values of a wrong kind, without which nothing else of the config can be read."""
    for key, (expected, kinds) in SHAPES.items():
        try:
            value = _plain(cfg, key)
        except OmegaConfBaseException as error:
            yield unresolved(error, key)
        else:
            if kinds and type(value) not in kinds:
                yield f"{key}: expected {expected}, given {value!r}"
            elif key == "cap":
                yield from _caps(cfg)


def key_problems(cfg: DictConfig) -> Iterator[str]:
    """Keys that the frame does not know and that look like one of its own; others are an experiment's."""
    for key in map(str, cfg):
        close = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8)
        if key not in KEYS and close:
            yield f"{key}: the frame has no such key (did you mean {close[0]}?)"


def component_problems(cfg: DictConfig, name: str, allowed: Sequence[str]) -> list[str]:
    """What is wrong with the watcher or the compute."""
    try:
        return frame_problems(resolved(cfg, name, allowed) if name in cfg else None, name, allowed)
    except OmegaConfBaseException as error:
        return [unresolved(error, name)]


def texts(value: Any) -> list[str]:
    """Of a value that may be one text or a list of them: the list."""
    if value is None or value == {}:
        return []
    return [str(item) for item in (value if isinstance(value, (list, ListConfig)) else [value])]


def _plain(cfg: DictConfig, key: str) -> Any:
    """A key's value, resolved; of mappings only that they are some."""
    value = cfg[key]
    if isinstance(value, DictConfig):
        return {}
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _caps(cfg: DictConfig) -> Iterator[str]:
    """What is wrong with ``cap``."""
    caps = OmegaConf.to_container(cfg.cap, resolve=True)
    if not isinstance(caps, dict) or set(caps) != {"numbers", "lists"}:
        given = (
            ", ".join(f"cap.{kind!s}" for kind in caps) if isinstance(caps, dict) else repr(caps)
        )
        yield f"cap: expected cap.numbers and cap.lists, given {given}"
        return
    for kind, expected in (("numbers", (int, float)), ("lists", (int,))):
        for name, limit in (caps[kind] or {}).items():
            if isinstance(limit, bool) or not isinstance(limit, expected):
                yield f"cap.{kind}.{name}: expected a number, given {limit!r}"
