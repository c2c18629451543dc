"""Arguments of the components in our own experiments, found in their composed configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sandbox.components.allowed import ALLOWED, locate
from sandbox.components.signature import arguments_of
from sandbox.components.tree import nodes
from sandbox.planning.resolvers import register_resolvers

CONF = Path(__file__).parents[2] / "conf"


def _arguments() -> Iterator[tuple[str, str, bool]]:
    """Yield experiment, place, and whether a mapping is right there."""
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        for path in sorted((CONF / "experiment").rglob("*.yaml")):
            name = str(path.relative_to(CONF / "experiment").with_suffix(""))
            cfg = compose("config", [f"+experiment={name}"], return_hydra_config=False)
            raw: Any = OmegaConf.to_container(cfg, resolve=False)
            for place, node in nodes({"jobs": raw["jobs"]}):
                for argument, found in arguments_of(locate(node["_target_"], ALLOWED)).items():
                    yield name, f"{place}.{argument}", _takes_mapping(found.annotation)


def _takes_mapping(annotation: Any) -> bool:
    """Return True if a mapping may be right for an annotation, or nobody can know."""
    if annotation in (str, int, float, bool, Path, type(None)):
        return False
    origin = get_origin(annotation)
    if origin is None or origin is Mapping:
        return True
    return any(_takes_mapping(inner) for inner in get_args(annotation) if inner is not ...)


ARGUMENTS = [*_arguments()]
"""Experiment, place of the argument, and whether a mapping may be right there."""
