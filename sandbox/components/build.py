"""The one place that builds components."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import (
    _is_node,
    argument_types,
    arguments,
    as_annotated,
    nodes,
    secret_arguments,
)


def convert(node: Any, allowed: Sequence[str]) -> Any:
    """A copy of ``node`` in which arguments annotated ``Path`` are paths, at any depth."""
    if isinstance(node, list):
        return [convert(item, allowed) for item in node]
    if not isinstance(node, Mapping):
        return node
    hints = argument_types(locate(node["_target_"], allowed)) if "_target_" in node else {}
    return {
        key: convert(value, allowed)
        if _is_node(value) or key not in hints
        else as_annotated(value, hints[key])
        for key, value in node.items()
    }


def build(node: Mapping[str, Any], allowed: Sequence[str]) -> Any:
    """Build the component that ``node`` describes, with the components inside it.

    Args:
        node: Resolved; secrets stand as ``${oc.env:NAME}`` and are read now.
        allowed: Patterns of allowed targets, handed to Hydra explicitly: its own context variable does
            not reach thread pools and spawned processes.
    """
    from hydra.utils import instantiate

    for where, inner in nodes(node, "config"):
        try:
            cls = locate(inner["_target_"], allowed)
        except TargetError as error:
            raise TargetError(f"{where}: {error}") from error
        _refuse_interpolations(
            {k: v for k, v in arguments(inner).items() if k not in secret_arguments(cls)}, where
        )
    return instantiate(convert(node, allowed), _convert_="all", _execution_whitelist_=list(allowed))


def _refuse_interpolations(value: Any, where: str) -> None:
    """OmegaConf would interpolate these once more, which no value of an output may do."""
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"{where}: {value!r} holds an interpolation that was not resolved")
    if isinstance(value, Mapping) and "_target_" not in value:
        for key, child in value.items():
            _refuse_interpolations(child, f"{where}.{key}")
    elif isinstance(value, list):
        for child in value:
            _refuse_interpolations(child, where)


def construction_problems(
    node: Mapping[str, Any], where: str, allowed: Sequence[str], complete: bool = True
) -> list[str]:
    """What a component objects to before it runs, in its constructor or its ``check``.

    Args:
        node: The component's node.
        where: Its dotted place in the config.
        allowed: Patterns of allowed targets.
        complete: Whether all arguments are known by now; if not, only a static ``check`` is asked,
            which looks at this machine: a program or package that is needed.
    """
    try:
        cls = locate(node["_target_"], allowed)
        is_static = isinstance(inspect.getattr_static(cls, "check", None), staticmethod)
        judge = build(node, allowed) if complete else cls if is_static else None
        getattr(judge, "check", lambda: None)()
    except Exception as error:  # whatever a component raises is the user's to read
        return [f"{where}: {str(error).strip() or type(error).__name__}"]
    return []
