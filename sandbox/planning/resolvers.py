"""OmegaConf resolvers: references, which remain text, and the name of a run's folder."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

from sandbox.components.values import shortened
from sandbox.planning.settings import LONGEST_NAME

BEGAN = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
"""Start of this process, which names its runs' folders: one time, however often Hydra asks."""


def register_resolvers() -> None:
    """Register the resolvers; call before anything is composed."""
    OmegaConf.register_resolver("output", _output_as_text, replace=True)
    OmegaConf.register_resolver("previous", _previous_as_text, replace=True)
    # cached, as Hydra's own time is: a launcher's other processes then name the folder as we do
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True, use_cache=True)


def _output_as_text(name: str = "", *more: Any) -> str:
    if not name or more:
        raise ValueError("${output:…} takes one name: ${output:job.key}")
    return f"${{output:{name}}}"


def _previous_as_text(name: str = "", initial: Any = None, *more: Any) -> str:
    if not name or more:
        raise ValueError(
            "${previous:…} takes a name and an initial value: ${previous:job.key, initial}"
        )
    plain = (
        OmegaConf.to_container(initial, resolve=True) if OmegaConf.is_config(initial) else initial
    )
    return f"${{previous:{name},{json.dumps(plain)}}}"


def _run_folder(name: Any) -> str:
    """Return ``<experiment>/<time>``, a path that must not lead elsewhere."""
    parts = str(name).split("/")
    if not all(map(_is_name, parts)):
        raise ValueError(
            f"experiment_name: given {shortened(name)}, expected letters, digits, . _ - and"
            f" / between names of at most {LONGEST_NAME} bytes"
        )
    return f"{name}/{BEGAN}"


def _is_name(part: str) -> bool:
    is_short = len(part.encode(errors="replace")) <= LONGEST_NAME
    return is_short and bool(re.fullmatch(r"[\w.-]+", part) and part.strip("."))
