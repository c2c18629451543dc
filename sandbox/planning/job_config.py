"""From one node of ``jobs`` to a checked :class:`JobSpec`; runs nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import argument_problems, config_problems
from sandbox.components.job_results import (
    lower_is_better,
    output_kinds,
    producer,
    result_names,
    results_class,
)
from sandbox.components.problem import Problem
from sandbox.components.signature import declares_results, secret_arguments
from sandbox.components.tree import Node, is_node, mapped, nodes
from sandbox.components.values import Pending, shortened
from sandbox.compute import BaseCompute
from sandbox.job import JobSpec
from sandbox.planning.job_map import (
    element_rule_problems,
    map_problems,
    read_map,
    read_seeds,
    too_many_elements,
)
from sandbox.planning.references import parse
from sandbox.planning.settings import interpolation_problem, resolved_data

log = logging.getLogger(__name__)

RESERVED = ("map", "seeds", "compute")
"""Keys of a job that are taken off before its hook is bound."""


def job_spec(
    cfg: DictConfig,
    place: tuple[str, str],
    name: str,
    cap: Mapping[str, Any],
    allowed: Sequence[str],
) -> tuple[JobSpec | None, list[Problem]]:
    """Return the spec of job ``name`` and everything that is wrong with it.

    Args:
        cfg: The composed config.
        place: Names of the job's pipeline and job list.
        name: Name of the job.
        cap: Limits by kind and argument.
        allowed: Patterns of allowed targets.
    """
    where = f"jobs.{name}"
    node, problems = _read(cfg, name, cap, allowed)
    if node is None:
        return None, problems
    reserved = {key: node.pop(key, None) for key in RESERVED}
    job_map, found = read_map(reserved["map"], f"{where}.map")
    problems += found
    first = job_map.first_element(node)
    seeds, seed_argument, found = read_seeds(reserved["seeds"], first, f"{where}.seeds", allowed)
    problems += found
    if seed_argument in job_map.leaves:
        text = "`seeds` gives this argument already; keep one of them"
        problems.append(Problem(f"{where}.map.{seed_argument}", "seeds", text))
    too_many = too_many_elements(where, job_map.known_lengths(), job_map.product, len(seeds))
    if too_many:
        return None, [*problems, too_many]
    later = [leaf for leaf in (*job_map.leaves, seed_argument) if leaf]
    problems += config_problems(node, where, allowed, later)
    problems += map_problems(node, job_map, where, allowed)
    if reserved["compute"] is not None:
        problems += component_problems(
            reserved["compute"], BaseCompute, f"{where}.compute", allowed
        )
    if not problems:
        problems += _result_problems(first, where, allowed)
        problems += element_rule_problems(node, job_map, seed_argument, where, allowed)
    results = _results(first, allowed)
    spec = JobSpec(
        name=name,
        pipeline=place[0],
        job_list=place[1],
        config=node,
        map=job_map.leaves,
        product=job_map.product,
        seeds=seeds,
        seed_argument=seed_argument,
        compute=reserved["compute"],
        outputs=result_names(results),
        output_kinds=output_kinds(results),
        lower_is_better=lower_is_better(results),
    )
    if not problems:
        _warn_unusual(spec, allowed)
    return spec, problems


def component_problems(
    node: Any, base: type, where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is wrong with a component outside jobs: the compute, the watcher."""
    if not is_node(node):
        text = f"expected a component, given {shortened(node)}"
        yield Problem(where, "component", text, "choose one by the config group of that name")
        return
    found = [*argument_problems(node, base, where, allowed)]
    yield from found or config_problems(node, where, allowed)


def resolved(parent: DictConfig, key: Any, allowed: Sequence[str]) -> Any:
    """Return a node as plain data, resolved but for references and declared secrets."""
    if OmegaConf.is_missing(parent, key):
        return "???"
    value = parent[key]
    if not OmegaConf.is_config(value):
        return value
    try:
        plain = resolved_data(value)
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, RecursionError):
            raise
        # part by part, which names the place, and reads no secret
        return _resolved_by_part(value, allowed)
    has_secrets = any(_secrets(node, allowed) for _, node in nodes(plain))
    return _resolved_by_part(value, allowed) if has_secrets else plain


def _resolved_by_part(value: Any, allowed: Sequence[str]) -> Any:
    if not isinstance(value, DictConfig):
        return resolved_data(value)
    secrets = _secrets(value, allowed)
    raw: Any = OmegaConf.to_container(value, resolve=False) if secrets else {}
    return {
        name: raw[name] if name in secrets else resolved(value, name, allowed) for name in value
    }


def _secrets(node: Mapping[str, Any], allowed: Sequence[str]) -> set[str]:
    """Return the names of a node's arguments that are declared secret."""
    try:
        return secret_arguments(locate(node.get("_target_"), allowed))
    except TargetError:  # not a component, or one whose class path is reported later
        return set()


def capped(node: Any, cap: Any) -> Any:
    """Limit numbers (``cap.numbers``) and lengths of lists (``cap.lists``) by argument name."""
    if isinstance(node, list):
        return [capped(item, cap) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {key: _cap(capped(value, cap), key, cap) for key, value in node.items()}


def _read(
    cfg: DictConfig, name: str, cap: Mapping[str, Any], allowed: Sequence[str]
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return a job's node with references parsed, and what is wrong; ``None`` without a node."""
    where = f"jobs.{name}"
    try:
        node = resolved(cfg.jobs, name, allowed)
    except OmegaConfBaseException as error:
        return None, [interpolation_problem(error, where)]
    if not is_node(node):
        hint = f"choose one with `- /hook@jobs.{name}: …` in the experiment's defaults"
        return None, [Problem(where, "job", "has no hook", hint)]
    small = capped(node, cap)
    problems: list[Problem] = []

    def parsed(leaf: Any) -> Any:
        try:
            return parse(leaf) if isinstance(leaf, str) else leaf
        except ValueError as error:
            problems.append(Problem(where, "reference", str(error)))
            return Pending()

    return mapped(small, parsed), problems


def _cap(value: Any, name: str, cap: Any) -> Any:
    if isinstance(value, list):
        return value[: cap["lists"].get(name)]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(value, cap["numbers"].get(name, value)) if is_number else value


def _result_problems(node: Node, where: str, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield a component that does not declare what it returns: no later job could read it."""
    try:
        cls = producer(node, allowed)
    except TargetError:  # reported where components are checked
        return
    if cls is not None and not declares_results(cls):
        argument = getattr(locate(node["_target_"], allowed), "RESULTS_FROM", "")
        place = f"{where}.{argument}".rstrip(".")
        text = f"{cls.__name__} does not declare its results"
        hint = "annotate the return of `run` with a frozen dataclass, or with None"
        yield Problem(place, "component", text, hint)


def _results(node: Node, allowed: Sequence[str]) -> type | None:
    try:
        return results_class(node, allowed)
    except TargetError:  # reported where components are checked
        return None


def _warn_unusual(spec: JobSpec, allowed: Sequence[str]) -> None:
    usual = getattr(locate(spec.config["_target_"], allowed), "USUAL_LISTS", ())
    if usual and spec.job_list not in usual:
        lists = " or ".join(usual)
        log.warning("%s is in %s; its hook is usually in %s", spec.name, spec.job_list, lists)
