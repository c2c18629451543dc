"""From one node of ``jobs`` to a checked :class:`JobSpec`; runs nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.components import checks
from sandbox.components.allowed import TargetError, locate
from sandbox.components.build import construction_problems
from sandbox.components.checks import (
    all_found,
    argument_types,
    declared_outputs,
    kind_problems,
    nodes,
    secret_arguments,
    value_problems,
)
from sandbox.compute import BaseCompute
from sandbox.job import JobSpec
from sandbox.planning.references import references, unreadable
from sandbox.planning.tree import select
from sandbox.planning.trial import further_problems, trial_problems
from sandbox.planning.wording import near, unequal, unresolved
from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)

RESERVED = ("map", "seeds", "compute")
"""Keys of a job that are taken off before its hook is bound."""


def job_spec(
    cfg: DictConfig, place: tuple[str, str], name: str, allowed: Sequence[str]
) -> tuple[JobSpec | None, list[str]]:
    """The spec of job ``name`` and everything that is wrong with it.

    Args:
        cfg: The composed config.
        place: Pipeline and job list that the job stands in.
        name: Name of the job.
        allowed: Patterns of allowed targets.
    """
    where = f"jobs.{name}"
    try:
        node = resolved(cfg.jobs, name, allowed)
    except OmegaConfBaseException as error:
        return None, [unresolved(error, where)]
    if not isinstance(node, dict) or "_target_" not in node:
        return None, [
            f"{where}: has no hook; choose one with `- /hook@jobs.{name}: …` in the experiment's defaults"
        ]
    node = capped(node, OmegaConf.to_container(cfg.cap, resolve=True))
    reserved = {key: node.pop(key, None) for key in RESERVED}
    leaves, product, problems = _map(reserved["map"], where)
    seeds, seed_argument, found = _seeds(
        reserved["seeds"], first_element(node, leaves), where, allowed
    )
    problems += found
    if seed_argument in leaves:
        problems.append(
            f"{where}.map.{seed_argument}: `seeds` gives this argument already; keep one of them"
        )
    problems += [
        f"{where}: cannot read {text!r}: ${{previous:…}} must be the whole value"
        for text in unreadable(node)
    ]
    problems += _component_problems(node, [*leaves, seed_argument], where, allowed)
    problems += _map_problems(node, leaves, where, allowed)
    if reserved["compute"] is not None:
        problems += frame_problems(reserved["compute"], f"{where}.compute", allowed)
    usable = not problems
    outputs = _outputs(node, leaves, bool(seeds), allowed)
    lower = _lower_is_better(first_element(node, leaves), allowed) if usable else ()
    spec = JobSpec(
        name,
        *place,
        node,
        leaves,
        product,
        seeds,
        seed_argument,
        reserved["compute"],
        outputs,
        lower,
    )
    if usable:
        problems += trial_problems(spec, where, allowed)
        _warn_unusual(spec, allowed)
    else:
        problems += [*further_problems(spec, where, allowed, problems)]
    return spec, problems


def frame_problems(node: Any, where: str, allowed: Sequence[str]) -> list[str]:
    """What is wrong with a component that is built as it stands: the compute, the watcher."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        return [
            f"{where}: expected a component, given {node!r}; choose one by the config group of that name"
        ]
    found = kind_problems(
        node, SandboxWatcher if where == "watcher" else BaseCompute, where, allowed
    )
    for place, inner in nodes(node, where):
        found += checks.problems(inner, place, allowed)
    return found or construction_problems(node, where, allowed)


def resolved(parent: DictConfig, key: Any, allowed: Sequence[str]) -> Any:
    """A node as plain data: all interpolations resolved but references and declared secrets."""
    if OmegaConf.is_missing(parent, key):
        return "???"
    value = parent[key]
    if not isinstance(value, DictConfig):
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    try:
        secrets = secret_arguments(locate(value.get("_target_"), allowed))
    except TargetError:  # not a component, or one whose target is reported later
        secrets = set()
    raw: Any = OmegaConf.to_container(value, resolve=False)
    return {
        name: raw[name] if name in secrets else resolved(value, name, allowed) for name in value
    }


def capped(node: Any, cap: Any) -> Any:
    """``node`` made smaller by argument name: ``cap.numbers`` limit values, ``cap.lists`` lengths."""
    if isinstance(node, list):
        return [capped(item, cap) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {key: _cap(capped(value, cap), key, cap) for key, value in node.items()}


def _cap(value: Any, name: str, cap: Any) -> Any:
    if isinstance(value, list):
        return value[: cap["lists"].get(name)]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(value, cap["numbers"].get(name, value)) if is_number else value


def _map(node: Any, where: str) -> tuple[dict[str, Any], bool, list[str]]:
    """The leaves of ``map`` by dotted place, whether they multiply, and what is wrong."""
    if node is None:
        return {}, False, []
    if not isinstance(node, dict):
        return (
            {},
            False,
            [f"{where}.map: expected the job's own structure with lists as leaves, given {node!r}"],
        )
    product = node.get("product", False)
    leaves = dict(_leaves({key: value for key, value in node.items() if key != "product"}, ""))
    lengths = {place: len(leaf) for place, leaf in leaves.items() if isinstance(leaf, list)}
    problems = [
        f"{where}.map.{place}: expected a list, or a reference to one, given {leaf!r}"
        for place, leaf in leaves.items()
        if not isinstance(leaf, (list, str))
        or (isinstance(leaf, str) and not any(references(leaf)))
    ]
    problems += [
        f"{where}.map.{place}: is empty" for place, length in lengths.items() if not length
    ]
    if not product and len(set(lengths.values())) > 1:
        problems.append(unequal(where, lengths))
    if not isinstance(product, bool):
        problems.append(f"{where}.map.product: expected true or false, given {product!r}")
    return leaves, product is True, problems


def _leaves(node: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        where = f"{place}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _leaves(value, where)
        else:
            yield where, value


def _component_problems(
    node: Any, later: Sequence[str], where: str, allowed: Sequence[str]
) -> Iterator[str]:
    """Problems of every component in a job; arguments that ``map`` or ``seeds`` gives are left to these."""
    for place, inner in nodes(node, where):
        here = place.removeprefix(where).lstrip(".")
        given_later = [
            leaf.rpartition(".")[2] for leaf in later if leaf and leaf.rpartition(".")[0] == here
        ]
        yield from checks.problems(inner, place, allowed, given_later)


def _map_problems(
    node: Any, leaves: Mapping[str, Any], where: str, allowed: Sequence[str]
) -> Iterator[str]:
    """A leaf must be an argument of the component that it stands in, and its elements must fit it."""
    for place, leaf in leaves.items():
        parent = select(node, place.rpartition(".")[0])
        argument = place.rpartition(".")[2]
        spot = f"{where}.map.{place}"
        if not isinstance(parent, Mapping):
            yield f"{spot}: the job has no {place.rpartition('.')[0]!r}"
            continue
        try:
            known = argument_types(locate(parent.get("_target_"), allowed))
        except TargetError:  # not a component, or one that is reported itself
            continue
        if argument not in known:
            yield f"{spot}: {parent['_target_']} takes no argument {argument!r}{near(argument, known)}"
            continue
        kinds = _kinds(leaf, allowed)
        if len(kinds) > 1:
            yield f"{spot}: mapped components must declare the same outputs, they declare: {'; '.join(kinds)}"
        for index, item in enumerate(leaf if isinstance(leaf, list) else []):
            yield from value_problems(item, known[argument], f"{spot}.{index}")
            yield from kind_problems(item, known[argument], f"{spot}.{index}", allowed)
            for inner_spot, inner in nodes(item, f"{spot}.{index}"):
                yield from checks.problems(inner, inner_spot, allowed)


def _kinds(leaf: Any, allowed: Sequence[str]) -> list[str]:
    """The different sets of outputs that the items of a mapped list declare."""
    if not isinstance(leaf, list) or not all_found(leaf, allowed):
        return []
    return sorted({", ".join(sorted(declared_outputs(item, allowed))) for item in leaf})


def _seeds(
    value: Any, node: Any, where: str, allowed: Sequence[str]
) -> tuple[tuple[int, ...], str, list[str]]:
    """The seeds, and the dotted place of the one argument that takes them.

    A number counts up from the seed that the component is given, or from 0.
    """
    if value is None:
        return (), "", []
    is_number = isinstance(value, int) and not isinstance(value, bool)
    seeds = list(range(value)) if is_number else value
    are_integers = isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)
    if not are_integers or len(set(seeds)) < len(seeds):
        expected = "a positive number or a list of different integers"
        return (), "", [f"{where}.seeds: expected {expected}, given {value!r}"]
    places = [
        f"{place}.seed".lstrip(".")
        for place, inner in nodes(node, "")
        if _takes_seed(inner, allowed)
    ]
    if len(places) != 1:
        found = ", ".join(places) or "none"
        return (
            (),
            "",
            [f"{where}.seeds: needs one component with an argument `seed`, found {found}"],
        )
    first = select(node, places[0])
    offset = first if is_number and isinstance(first, int) else 0
    return tuple(seed + offset for seed in seeds), places[0], []


def _takes_seed(node: Mapping[str, Any], allowed: Sequence[str]) -> bool:
    try:
        return "seed" in argument_types(locate(node["_target_"], allowed))
    except TargetError:  # reported where components are checked
        return False


def first_element(node: Mapping[str, Any], leaves: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job's node with components that are mapped themselves: those of the first element."""
    mapped = {
        p: leaf[0] for p, leaf in leaves.items() if "." not in p and isinstance(leaf, list) and leaf
    }
    return {**node, **mapped}


def _outputs(
    node: Any, leaves: Mapping[str, Any], has_seeds: bool, allowed: Sequence[str]
) -> tuple[str, ...]:
    """Names of a job's outputs; none where a class is not found, which is reported itself."""
    try:
        names = declared_outputs(first_element(node, leaves), allowed)
    except TargetError:
        return ()
    spread = [f"{name}_{kind}" for name in names for kind in ("std", "values")] if has_seeds else []
    return (*names, *spread, *(["elements"] if leaves else []))


def _lower_is_better(node: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    classes = [locate(inner["_target_"], allowed) for _, inner in nodes(node, "")]
    return tuple(name for cls in classes for name in getattr(cls, "LOWER_IS_BETTER", ()))


def _warn_unusual(spec: JobSpec, allowed: Sequence[str]) -> None:
    usual = getattr(locate(spec.config["_target_"], allowed), "USUAL_LISTS", ())
    if usual and spec.job_list not in usual:
        log.warning(
            "%s stands in %s; its hook usually stands in %s",
            spec.name,
            spec.job_list,
            " or ".join(usual),
        )
