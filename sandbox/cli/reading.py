"""Values of a config as they are read now, although not all of it can be resolved yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

_DEEPEST = 30


def read(node: Any, key: Any) -> Any:
    """Return a value; ``None`` if it is missing, its own text if it cannot be resolved yet."""
    try:
        if OmegaConf.is_missing(node, key):
            return None
        return node[key]
    except OmegaConfBaseException:
        plain: Any = OmegaConf.to_container(node, resolve=False)
        return plain[key]


def resolved(copy: Any, root: Any, place: tuple[Any, ...] = (), depth: int = 0) -> Any:
    """Resolve the interpolations in the unresolved copy of what is at ``place`` below ``root``.

    Only these are read through OmegaConf: each takes as long as copying a hundred values.
    """
    if depth > _DEEPEST:  # an interpolation can lead in a circle
        return "${too deep}"
    if isinstance(copy, Mapping):
        items = copy.items()
        return {str(key): resolved(child, root, (*place, key), depth + 1) for key, child in items}
    if isinstance(copy, (list, tuple)):
        found = enumerate(copy)
        return [resolved(child, root, (*place, index), depth + 1) for index, child in found]
    if not isinstance(copy, str) or ("${" not in copy and copy != "???"):
        return copy
    *above, last = place
    for key in above:
        root = root[key]
    value = read(root, last)
    if not OmegaConf.is_config(value):
        return value
    return resolved(OmegaConf.to_container(value, resolve=False), value, (), depth)
