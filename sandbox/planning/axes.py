"""Axes: the named ways in which the elements of a job differ.

An axis is a leaf of ``map``, named by its dotted place (zipped leaves are one axis, with the name
of the first), or ``seed``: the values that ``seeds`` adds, or a leaf of ``map`` that is the
component's argument ``seed``. A leaf that refers to an output of a job with axes is no axis of its
own: it takes over that job's axes, and its elements their labels. So ``train``, which maps over
pools and has ``seeds``, and every job that maps over its results have the axes
``executor.dataset_path`` and ``seed``. A second axis of the same name is ``<name>_2``.

Elements are the product of the axes in the order in which ``map`` names them, seeds last; the last
axis varies fastest. Elements that differ in nothing but seeds are one *candidate*, and stand
together. The outputs of a job with axes are:

``name``
    In a ``map`` one item for each element. Elsewhere a number (or a mapping of numbers) is the mean
    over the seeds of each candidate, and anything else one item for each element. Without an axis
    but ``seed`` there is one candidate, and its mean is no list.
``name_std``, ``name_values``
    With seeds, for each candidate: sample standard deviation, and list of values. These lists, one
    after the other, have the order of the elements.
``axes.<axis>``, ``candidates``
    For each element: its label on an axis (a seed is a number), and its labels on all but seeds.
``elements.<place>``
    The values of a leaf of the job's own ``map``, one for each of its rows.

The plan computes axes from what is written in the config. A list that an earlier job makes has a
length that only a run knows; it is written as the reference to it, so that lengths which come from
the same list can be compared. ``${previous:…}`` in a ``map`` is a plain list, without axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.components.problem import Problem
from sandbox.components.tree import name_of
from sandbox.job import Axis, JobSpec
from sandbox.planning.job_map import MOST_ELEMENTS
from sandbox.planning.references import Reference

Axes = tuple[Axis, ...]
Jobs = Mapping[str, JobSpec]

SEED = "seed"

BESIDE = ("elements", "axes", "candidates")
"""Outputs of a job with elements that describe these, beside the results of its component."""


@dataclass(frozen=True)
class Length:
    """Length of a list: a number, times the lengths of lists that only a run knows.

    Args:
        factor: The number.
        unknown: References to these lists, sorted.
    """

    factor: int = 1
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, axes: Iterable[Axis]) -> Length:
        """Return the number of elements with these axes."""
        sizes = [axis.size for axis in axes]
        known = [size for size in sizes if isinstance(size, int)]
        return cls(math.prod(known), tuple(sorted(size for size in sizes if isinstance(size, str))))

    def may_equal(self, other: Length) -> bool:
        """Return False if two lengths differ whatever the unknown ones are."""
        return self.factor == other.factor or self.unknown != other.unknown

    def __str__(self) -> str:
        number = [str(self.factor)] if self.factor != 1 or not self.unknown else []
        return " × ".join([*number, *(f"the length of {each}" for each in self.unknown)])


def with_axes(spec: JobSpec, jobs: Jobs) -> tuple[JobSpec, list[Problem]]:
    """Return a job with its axes and all its outputs, and why its ``map`` cannot work.

    Args:
        spec: The job; its outputs are the results of its component.
        jobs: Earlier jobs by name, with axes.
    """
    where = f"jobs.{spec.name}"
    parts = {place: leaf_axes(place, leaf, spec, jobs) for place, leaf in spec.map.items()}
    problems = [*_leaf_problems(spec, jobs)]
    if spec.product or not parts:
        columns = [*parts.values()]
    else:
        problems += zip_problems(f"{where}.map", parts, [*_inheriting(spec, jobs)])
        columns = [parts[leading_leaf(spec, jobs)]]
    if spec.seeds:
        columns.append((Axis(SEED, len(spec.seeds), is_seed=True),))
    axes = _apart(sorted(itertools.chain(*columns), key=lambda axis: axis.is_seed))
    number = Length.of(axes)
    if number.factor > MOST_ELEMENTS:
        text = f"{number} elements ({axes_names(axes)}), expected at most {MOST_ELEMENTS:,}"
        problems.append(Problem(where, "map", text))
    more = _more_outputs(spec, axes)
    for name in sorted(set(more) & set(spec.outputs)):
        text = f"its component has a result {name!r}, which every job with elements has"
        problems.append(Problem(where, "component", text, "rename the field of the results"))
    return replace(spec, axes=axes, outputs=(*spec.outputs, *more)), problems


def candidate_axes(axes: Axes) -> Axes:
    """Return the axes on which elements are compared: all but seeds."""
    return tuple(axis for axis in axes if not axis.is_seed)


def row_axes(spec: JobSpec) -> Axes:
    """Return the axes of a job's ``map``: all but that of ``seeds``."""
    return spec.axes[:-1] if spec.seeds else spec.axes


def is_repeated(spec: JobSpec) -> bool:
    """Return True if a job has seeds, its own or inherited ones."""
    return any(axis.is_seed for axis in spec.axes)


def spread_of(spec: JobSpec, name: str) -> str:
    """Return ``std`` or ``values`` for an output that is beside a mean over seeds, else nothing."""
    base, _, kind = name.rpartition("_")
    return kind if kind in ("std", "values") and base in spec.outputs and is_repeated(spec) else ""


def mapped_axes(spec: JobSpec, keys: Sequence[str]) -> Axes:
    """Return the axes of an output as a list to map over; none if it is no list of elements."""
    name, *more = keys
    inner = ".".join(more)
    if name == "elements":
        return row_axes(spec) if inner in spec.map else ()
    if name == "axes":
        return spec.axes if any(axis.name == inner for axis in spec.axes) else ()
    if more:
        return ()
    kind = spread_of(spec, name)
    if kind:
        return candidate_axes(spec.axes) or (spec.axes if kind == "values" else ())
    return spec.axes


def listed_axes(spec: JobSpec, keys: Sequence[str]) -> Axes | None:
    """Return the axes of an output outside ``map``; none of a single value, ``None`` if unknown."""
    is_beside = keys[0] in BESIDE or spread_of(spec, keys[0])
    if is_beside or len(keys) > 1:
        return mapped_axes(spec, keys) or None
    if not is_repeated(spec):
        return spec.axes
    kind = spec.output_kinds.get(keys[0])
    if kind is None:
        return None
    return spec.axes if kind == "other" else candidate_axes(spec.axes)


def inherited_axes(leaf: Any, jobs: Jobs) -> Axes:
    """Return the axes that a leaf of ``map`` takes over from the job that it refers to."""
    job = job_of(leaf, jobs)
    return () if job is None else mapped_axes(job, leaf.keys)


def job_of(value: Any, jobs: Jobs) -> JobSpec | None:
    """Return the earlier job that makes the output which a value refers to."""
    if not isinstance(value, Reference) or value.previous or value.job not in jobs:
        return None
    job = jobs[value.job]
    return job if value.keys and value.keys[0] in job.outputs else None


def leaf_axes(place: str, leaf: Any, spec: JobSpec, jobs: Jobs) -> Axes:
    """Return the axes of one leaf of a job's ``map``."""
    inherited = inherited_axes(leaf, jobs)
    if inherited:
        return inherited
    size = len(leaf) if isinstance(leaf, list) else str(leaf)
    if name_of(place) == SEED and (spec.product or len(spec.map) == 1):
        return (Axis(SEED, size, is_seed=True),)
    return (Axis(place, size),)


def leading_leaf(spec: JobSpec, jobs: Jobs) -> str:
    """Return the place of the zipped leaf whose axes the elements have."""
    named = [place for place in spec.map if name_of(place) != SEED]
    return next(iter([*_inheriting(spec, jobs), *named, *spec.map]))


def zip_problems(
    where: str, parts: Mapping[str, Axes], inheriting: Sequence[str]
) -> Iterator[Problem]:
    """Yield zipped leaves that do not fit: of other lengths, or with other axes.

    Inherited axes fit if they pair up in order: of equal size, seeds with seeds, and none with the
    name of another axis.

    Args:
        where: Place of the ``map``.
        parts: Axes of its leaves, by place.
        inheriting: Places of the leaves with inherited axes.
    """
    for place in inheriting[1:]:
        if not _fit(parts[inheriting[0]], parts[place]):
            given = ", ".join(f"{each} has {axes_names(parts[each])}" for each in inheriting)
            text = f"zipped lists have axes that do not fit: {given}"
            yield Problem(where, "map", text, "`product: true` multiplies them")
            return
    given = unequal({place: Length.of(axes) for place, axes in parts.items()})
    if given:
        text = f"zipped lists have unequal lengths: {given}"
        yield Problem(where, "map", text, "`product: true` multiplies them")


def unequal(lengths: Mapping[str, Length]) -> str:
    """Return lengths by name as one text if they cannot all be equal, else nothing."""
    pairs = itertools.combinations(lengths.values(), 2)
    if all(one.may_equal(other) for one, other in pairs):
        return ""
    return ", ".join(f"{name} has {length}" for name, length in lengths.items())


def axes_names(axes: Axes) -> str:
    """Return axes as one text: ``executor.dataset_path (3) × seed (2)``."""
    sizes = {axis: f" ({axis.size})" if isinstance(axis.size, int) else "" for axis in axes}
    return " × ".join(f"{axis.name}{sizes[axis]}" for axis in axes)


def _leaf_problems(spec: JobSpec, jobs: Jobs) -> Iterator[Problem]:
    """Yield leaves of a ``map`` that refer to a number: there is nothing to map over."""
    for place, leaf in spec.map.items():
        job = job_of(leaf, jobs)
        if job is None or job.axes or len(leaf.keys) > 1:
            continue
        if job.output_kinds.get(leaf.keys[0]) in ("number", "numbers"):
            text = f"{leaf} is no list: {leaf.job} has neither `map` nor `seeds`"
            yield Problem(f"jobs.{spec.name}.map.{place}", "map", text)


def _inheriting(spec: JobSpec, jobs: Jobs) -> Iterator[str]:
    return (place for place, leaf in spec.map.items() if inherited_axes(leaf, jobs))


def _fit(first: Axes, second: Axes) -> bool:
    if len(first) != len(second):
        return False
    names = [axis.name for axis in first]
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        is_elsewhere = other.name in names and names.index(other.name) != index
        sizes_fit = Length.of([one]).may_equal(Length.of([other]))
        if one.is_seed != other.is_seed or is_elsewhere or not sizes_fit:
            return False
    return True


def _apart(axes: Iterable[Axis]) -> Axes:
    """Return axes with a number after each name that came before."""
    found: list[Axis] = []
    for axis in axes:
        taken = {other.name for other in found}
        names = (axis.name, *(f"{axis.name}_{number}" for number in range(2, len(found) + 2)))
        name = next(name for name in names if name not in taken)
        found.append(replace(axis, name=name))
    return tuple(found)


def _more_outputs(spec: JobSpec, axes: Axes) -> list[str]:
    """Return the names of the outputs that a job has beside its component's results."""
    more = ["elements"] if spec.map else []
    if any(axis.is_seed for axis in axes):
        means = [name for name in spec.outputs if spec.output_kinds.get(name) != "other"]
        more += [f"{name}_std" for name in means]
        more += [f"{name}_values" for name in spec.outputs]
    return [*more, "axes", "candidates"] if axes else more
