"""The one place that builds components: what is built was checked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.components.checks import node_problems, permission_problems
from sandbox.components.construct import construct
from sandbox.components.problem import PlanError, Problem
from sandbox.components.tree import Node, nodes


def build(node: Node, allowed: Sequence[str]) -> Any:
    """Check and build the component that ``node`` describes, with the components inside it.

    Args:
        node: Plain data in which nothing is left to resolve but secrets, ``${oc.env:NAME}``, which
            are read now.
        allowed: Patterns of allowed targets.

    Raises:
        PlanError: A value does not fit its argument.
    """
    problems: list[Problem] = []
    for place, inner in nodes(node):
        where = place or inner["_target_"]
        problems += node_problems(inner, where, allowed)
        problems += permission_problems(inner, where, allowed)
    if problems:
        raise PlanError(problems)
    return construct(node, allowed)
