"""Check and build components as the plan and a run do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.components.build import build as build_node
from sandbox.components.checks import config_problems, node_problems
from sandbox.components.problem import Problem
from sandbox.job import JobScope, numbers
from sandbox.planning.references import parse_all

ANYTHING = ("*",)


def node_of(cls: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a component."""
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **_plain(arguments)}


def problems_of(cls: type, **arguments: Any) -> list[Problem]:
    """Return the problems of a component in a plan: arguments, rules, missing programs.

    Places are those inside the component: ``num_samples``, ``statistics.0``; a rule between several
    arguments has the empty place.
    """
    problems = config_problems(parse_all(node_of(cls, arguments)), "it", ANYTHING)
    return [
        Problem(found.where.removeprefix("it").lstrip("."), found.kind, found.text, found.hint)
        for found in problems
    ]


def request_problems(cls: type, eval_type: Any, eval_obj: Any) -> list[tuple[str, str]]:
    """Return kind and place of what the plan finds wrong with a request to an evaluator."""
    evaluator = {"_target_": f"{cls.__module__}.{cls.__qualname__}"}
    hook = {
        "_target_": "sandbox.hooks.evaluate_data.EvaluateDataHook",
        "evaluator": evaluator,
        "eval_type": eval_type,
        "eval_obj": _plain(eval_obj),
    }
    found = node_problems(parse_all(hook), "job", ANYTHING)
    return [(problem.kind, problem.where.removeprefix("job.")) for problem in found]


def build(cls: type, **arguments: Any) -> Any:
    """Build a component as a run does; raises ``PlanError`` where an argument does not fit."""
    return build_node(node_of(cls, arguments), ANYTHING)


def scope(folder: Path, metrics: list[dict[str, float]] | None = None) -> JobScope:
    """Return the scope of a job that works in ``folder`` and appends to ``metrics``."""
    output_dir = folder / "out"
    log_path = folder / "logs" / "1.log"
    for made in (output_dir, log_path.parent):
        made.mkdir(parents=True, exist_ok=True)
    watched: list[dict[str, float]] = [] if metrics is None else metrics

    def watch(metrics: Mapping[str, Any], step: int | None = None) -> None:
        watched.append(numbers(metrics))

    return JobScope(
        name="job",
        output_dir=output_dir,
        log_path=log_path,
        watch=watch,
        cache_dir=folder / "cache",
    )


def _plain(value: Any) -> Any:
    """Return Python values as a config has them: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return str(value) if isinstance(value, Path) else value
