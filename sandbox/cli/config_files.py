"""Limits of config files: their size, and what aliases of YAML make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource

from sandbox.cli.config_shape import check_depth
from sandbox.components.problem import PlanError, Problem

MOST_BYTES = 10_000_000
MOST_VALUES = 1_000_000
"""Values of a config file, those behind aliases as often as they are named."""


@contextmanager
def limited_config_files() -> Iterator[None]:
    """Check config files of folders before Hydra parses and copies them."""
    source: Any = FileConfigSource
    load = source.load_config

    def checked_load(self: Any, config_path: str) -> Any:
        path = Path(self.path) / self._normalize_file_name(config_path)
        check_depth(path, config_path)
        text = problem_of(path)
        if text:
            raise PlanError([Problem(config_path, "setting", text)])
        return load(self, config_path)

    source.load_config = checked_load
    try:
        yield
    finally:
        source.load_config = load


def problem_of(path: Path) -> str:
    """Return why a config file is too large to be read; no text if it is not."""
    import yaml

    if not path.is_file():
        return ""  # Hydra reports what is missing
    size = path.stat().st_size
    if size > MOST_BYTES:
        return f"{path} has {size:,} bytes, expected at most {MOST_BYTES:,}"
    content = path.read_bytes()
    if b"*" not in content:
        return ""
    try:
        number = _num_values(yaml.safe_load(content), {})
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):  # Hydra reports it
        return ""
    if number > MOST_VALUES:
        return f"{path} has {number:,} values behind its aliases, expected at most {MOST_VALUES:,}"
    return ""


def _num_values(value: Any, known: dict[int, int]) -> int:
    """Return the number of values in parsed YAML; what aliases share is counted once and added."""
    if not isinstance(value, (list, Mapping)):
        return 1
    if id(value) not in known:
        known[id(value)] = 0  # of a circle, which has no size
        children = value.values() if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(_num_values(child, known) for child in children)
    return known[id(value)]
