"""The keys ``map`` and ``seeds`` of a job: how its elements differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import (
    all_found,
    argument_problems,
    config_problems,
    given_arguments,
    permission_problems,
    rule_problems,
)
from sandbox.components.job_results import result_names, results_class
from sandbox.components.problem import Problem
from sandbox.components.signature import arguments_of
from sandbox.components.tree import Node, is_node, name_of, nodes, parent_of, select
from sandbox.components.values import Pending, shortened
from sandbox.job import JobSpec
from sandbox.system.wording import did_you_mean

MOST_ELEMENTS = 100_000
"""Elements of one job: each has a folder, a record and a line in the context."""


def used_nodes(spec: JobSpec) -> Iterator[tuple[str, Node]]:
    """Yield every node of a job by its place in the config, of its ``map`` too.

    A node whose place the ``map`` fills is left out: no element has it.
    """
    where = f"jobs.{spec.name}"
    replaced = tuple(f"{where}.{leaf}." for leaf in spec.map)
    for place, node in nodes(spec.config, where):
        if not f"{place}.".startswith(replaced):
            yield place, node
    yield from nodes(dict(spec.map), f"{where}.map")


@dataclass(frozen=True)
class JobMap:
    """A parsed ``map``.

    Args:
        leaves: List, or reference to one, by dotted place in the job.
        product: True if the elements are the product of the leaves, not their zip.
    """

    leaves: Mapping[str, Any] = field(default_factory=dict)
    product: bool = False

    def known_lengths(self) -> dict[str, int]:
        """Return the lengths of the lists that are written out, by place."""
        return {place: len(leaf) for place, leaf in self.leaves.items() if isinstance(leaf, list)}

    def first_element(self, node: Node) -> Node:
        """Return a job's node with components that are mapped as a whole: the first ones."""
        first = {}
        for place, leaf in self.leaves.items():
            if "." not in place and isinstance(leaf, list) and leaf:
                first[place] = leaf[0]
        return {**node, **first}

    def known_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield index and values by place of the elements that are written out in the config.

        The lists of a product are taken one by one: their combinations share every rule that reads
        one of them.
        """
        lists = {place: leaf for place, leaf in self.leaves.items() if isinstance(leaf, list)}
        if self.product:
            for place, leaf in lists.items():
                for index, item in enumerate(leaf):
                    yield index, {place: item}
            return
        for index in range(min(map(len, lists.values()), default=0)):
            yield index, {place: leaf[index] for place, leaf in lists.items()}


def read_map(value: Any, where: str) -> tuple[JobMap, list[Problem]]:
    """Return the ``map`` of a job, and what is wrong with its form.

    Args:
        value: The key's value, references parsed; ``None`` where the job has none.
        where: Place of the ``map``.
    """
    if value is None:
        return JobMap(), []
    if not isinstance(value, dict):
        text = f"expected the job's own structure with lists as leaves, given {shortened(value)}"
        return JobMap(), [Problem(where, "map", text)]
    product = value.get("product", False)
    structure = {key: child for key, child in value.items() if key != "product"}
    leaves = dict(_leaves(structure, ""))
    problems = list(_form_problems(leaves, where))
    if not isinstance(product, bool):
        text = f"expected true or false, given {product!r}"
        problems.append(Problem(f"{where}.product", "map", text))
    return JobMap(leaves, product is True), problems


def too_many_elements(
    where: str, lengths: Mapping[str, int], product: bool, num_seeds: int
) -> Problem | None:
    """Return the problem of a job with more elements than a job may have, if it has; builds none.

    Args:
        where: Place of the job.
        lengths: Lengths of the known lists of its ``map``, by place.
        product: True if these are multiplied.
        num_seeds: Number of its ``seeds``, 0 without.
    """
    factors = lengths.values() if product else [max(lengths.values(), default=1)]
    number = math.prod(factors) * max(1, num_seeds)
    if number <= MOST_ELEMENTS:
        return None
    given = [f"map.{place} has {length:,}" for place, length in lengths.items()]
    given += [f"seeds has {num_seeds:,}"] if num_seeds else []
    text = f"{number:,} elements ({', '.join(given)}), expected at most {MOST_ELEMENTS:,}"
    return Problem(where, "map" if lengths else "seeds", text)


def map_problems(
    node: Node, job_map: JobMap, where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield leaves that are no argument of their component, and elements that do not fit."""
    for place, leaf in job_map.leaves.items():
        spot = f"{where}.map.{place}"
        parent = select(node, parent_of(place))
        if not isinstance(parent, Mapping):
            yield Problem(spot, "map", f"the job has no {parent_of(place)!r}")
            continue
        try:
            known = arguments_of(locate(parent.get("_target_"), allowed))
        except TargetError:  # not a component, or one that is reported itself
            continue
        argument = name_of(place)
        if argument not in known:
            text = f"{parent['_target_']} takes no argument {argument!r}"
            yield Problem(spot, "unknown_argument", text, did_you_mean(argument, known))
            continue
        yield from _kind_problems(leaf, spot, allowed)
        for index, item in enumerate(leaf if isinstance(leaf, list) else []):
            here = f"{spot}.{index}"
            yield from argument_problems(item, known[argument].annotation, here, allowed)
            yield from config_problems(item, here, allowed)


def element_rule_problems(
    node: Node, job_map: JobMap, seed_argument: str, where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield the rules that single elements break, of components whose arguments are mapped."""
    places = {*job_map.leaves, seed_argument} - {""}
    for place, component in nodes(node):
        own = {leaf for leaf in places if parent_of(leaf) == place}
        if not own:
            continue
        cls = locate(component["_target_"], allowed)
        unknown = {name_of(leaf) for leaf in own}
        given = given_arguments(component)
        for index, row in job_map.known_rows():
            values = {name_of(leaf): item for leaf, item in row.items() if leaf in own}
            if not values:
                continue
            spot = f"{where}.map.{parent_of(next(iter(own)))}.{index}"
            yield from rule_problems(
                cls, {**given, **values}, spot, allowed, unknown - set(values), set(values)
            )
            yield from permission_problems({**component, **values}, spot, allowed)


def read_seeds(
    value: Any, node: Node, where: str, allowed: Sequence[str]
) -> tuple[tuple[int, ...], str, list[Problem]]:
    """Return the seeds, the place of the one argument that takes them, and what is wrong.

    A number counts up from the seed that the component is given, or from 0.
    """
    if value is None:
        return (), "", []
    is_number = isinstance(value, int) and not isinstance(value, bool)
    number = value if is_number else len(value) if isinstance(value, list) else 0
    problem = too_many_elements(where, {}, False, number)
    if problem:
        return (), "", [problem]
    seeds = list(range(value)) if is_number else value
    if not _are_seeds(seeds):
        text = (
            f"expected a positive number or a list of different integers, given {shortened(value)}"
        )
        return (), "", [Problem(where, "seeds", text)]
    places = [
        f"{place}.seed".lstrip(".") for place, inner in nodes(node) if _takes_seed(inner, allowed)
    ]
    if len(places) != 1:
        found = ", ".join(places) or "none"
        text = f"needs one component with an argument `seed`, found {found}"
        return (), "", [Problem(where, "seeds", text)]
    first = select(node, places[0])
    offset = first if is_number and isinstance(first, int) else 0
    return tuple(seed + offset for seed in seeds), places[0], []


def _form_problems(leaves: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for place, leaf in leaves.items():
        if not isinstance(leaf, (list, Pending)):
            text = f"expected a list, or a reference to one, given {shortened(leaf)}"
            yield Problem(f"{where}.{place}", "map", text)
        elif leaf == []:
            yield Problem(f"{where}.{place}", "map", "the list is empty")


def _leaves(node: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        where = f"{place}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _leaves(value, where)
        else:
            yield where, value


def _kind_problems(leaf: Any, spot: str, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem if the components of a mapped list have different results."""
    if not isinstance(leaf, list) or not all_found(leaf, allowed):
        return
    kinds = {
        ", ".join(result_names(results_class(item, allowed))) for item in leaf if is_node(item)
    }
    if len(kinds) > 1:
        text = (
            f"mapped components must have the same results, they have: {'; '.join(sorted(kinds))}"
        )
        yield Problem(spot, "map", text)


def _are_seeds(seeds: Any) -> bool:
    if not isinstance(seeds, list) or not seeds:
        return False
    return all(type(seed) is int for seed in seeds) and len(set(seeds)) == len(seeds)


def _takes_seed(node: Node, allowed: Sequence[str]) -> bool:
    try:
        return "seed" in arguments_of(locate(node["_target_"], allowed))
    except TargetError:  # reported where components are checked
        return False
