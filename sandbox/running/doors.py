"""List the permissions that an experiment uses, for ``dry_run=true``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.components.allowed import locate, our_targets
from sandbox.components.permissions import component_permissions, is_allowed_class
from sandbox.components.problem import Problem
from sandbox.components.tree import nodes
from sandbox.planning.job_map import used_nodes
from sandbox.planning.plan import Plan


def used_permissions(
    checked: Plan, frame: Mapping[str, Any], allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield what a plan's components would be refused for without any permission.

    Args:
        checked: The plan.
        frame: Nodes outside jobs by their places: the compute, the watcher.
        allowed: What the user permits.
    """
    ours = our_targets(allowed)
    found = [item for where, node in frame.items() for item in nodes(node, where)]
    for spec in checked.jobs:
        found += used_nodes(spec)
        found += nodes(spec.compute or {}, f"jobs.{spec.name}.compute")
    for place, node in found:
        target = node["_target_"]
        if not is_allowed_class(target, ours):
            yield Problem(place, "target", f"is {target}")
        yield from component_permissions(locate(target, allowed), node, place, ours)
