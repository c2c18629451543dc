"""Values of a config as they are read now, although not all of it can be resolved yet."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

_DEEPEST = 30


def read(node: Any, key: Any) -> Any:
    """Return a value; ``None`` if it is missing, its own text if it cannot be resolved yet."""
    try:
        if OmegaConf.is_missing(node, key):
            return None
        return node[key]
    except OmegaConfBaseException:
        raw: Any = OmegaConf.to_container(node, resolve=False)
        return raw[key]


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as plain data, each part as :func:`read` returns it."""
    if depth > _DEEPEST:  # an interpolation can lead in a circle
        return "${too deep}"
    if isinstance(value, DictConfig):
        return {str(key): plain(read(value, key), depth + 1) for key in value}
    if isinstance(value, ListConfig):
        return [plain(read(value, index), depth + 1) for index in range(len(value))]
    return value
