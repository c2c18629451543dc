"""From a job to its element jobs."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.components.tree import is_node, put
from sandbox.job import Axis, JobSpec, Label
from sandbox.planning.axes import (
    SEED,
    Axes,
    inherited_axes,
    leaf_axes,
    mapped_axes,
    zip_problems,
)
from sandbox.planning.job_map import too_many_elements
from sandbox.planning.references import Reference
from sandbox.running.context import Context
from sandbox.samples import base_name
from sandbox.store.fingerprint import Element, parts_of
from sandbox.store.records import JobStore

_LONGEST_LABEL = 40

_Row = tuple[tuple[Label, ...], Mapping[str, Any]]


def expand(
    spec: JobSpec,
    context: Context,
    store: JobStore,
    allowed: tuple[str, ...],
    replaced: Mapping[str, int] | None = None,
) -> list[Element]:
    """Return the elements of a job in the order of its ``map``, the seeds of an element together.

    Args:
        spec: The job.
        context: Outputs of earlier jobs.
        store: Where records are.
        allowed: Patterns of allowed targets.
        replaced: By fingerprint the attempt whose record does not count: see ``Forced``.

    Raises:
        OutputNotFound: It reads an output that is not there yet.
        ValueError: A mapped reference is no list, zipped lists do not fit, or there are too many
            elements.
    """
    names = [axis.name for axis in spec.axes]
    found = []
    for index, (labels, choice) in enumerate(_rows(spec, context)):
        config = deepcopy(dict(spec.config)) if choice else dict(spec.config)
        for place, value in choice.items():
            put(config, place, deepcopy(value))
        config = context.resolve(config)  # a copy
        element = Element(
            job=spec.name,
            label=f"{spec.name}[{index}]" if spec.axes else spec.name,
            config=config,
            parts=parts_of(config, allowed, store.hashes, context.hashes),
            store_dir=store.root,
            allowed=allowed,
            axes=dict(zip(names, labels, strict=True)),
        )
        after = (replaced or {}).get(element.fingerprint, 0)
        found.append(replace(element, after=after) if after else element)
    return found


def _rows(spec: JobSpec, context: Context) -> Iterable[_Row]:
    """Return the labels of each element, one for each axis, and its values by dotted place."""
    leaves = {place: _leaf(place, spec, context) for place in spec.map}
    lengths = {place: len(leaf.values) for place, leaf in leaves.items()}
    too_many = too_many_elements(f"jobs.{spec.name}", lengths, spec.product, len(spec.seeds))
    if too_many:
        raise ValueError(str(too_many))
    loops = [*leaves.values()]
    if leaves and not spec.product:
        loops = [_zipped(spec, leaves)]
    if spec.seeds:
        seeds = [{spec.seed_argument: seed} for seed in spec.seeds]
        axis = Axis(SEED, len(seeds), is_seed=True)
        loops.append(_Loop(seeds, (axis,), [(seed,) for seed in spec.seeds]))
    rows: list[_Row] = []
    for rounds in itertools.product(
        *(zip(loop.labels, loop.values, strict=True) for loop in loops)
    ):
        labels = tuple(itertools.chain(*(labels for labels, _ in rounds)))
        values = dict(itertools.chain(*(values.items() for _, values in rounds)))
        rows.append((labels, values))
    return _seeds_last(rows, [axis.is_seed for loop in loops for axis in loop.axes])


def _seeds_last(rows: Sequence[_Row], are_seeds: Sequence[bool]) -> Iterable[_Row]:
    """Return rows with the labels of seeds last, and the rows that differ in these together.

    Args:
        rows: Labels and values.
        are_seeds: For each label, True if it is a seed.
    """
    order = sorted(range(len(are_seeds)), key=are_seeds.__getitem__)
    if order == [*range(len(are_seeds))]:
        return rows
    num_others = are_seeds.count(False)
    candidates: dict[tuple[Label, ...], list[_Row]] = {}
    for labels, values in rows:
        sorted_labels = tuple(labels[index] for index in order)
        candidates.setdefault(sorted_labels[:num_others], []).append((sorted_labels, values))
    return itertools.chain(*candidates.values())


@dataclass(frozen=True)
class _Loop:
    """One loop over elements: a leaf of ``map``, zipped leaves, or ``seeds``.

    Args:
        values: The values of each round, by place.
        axes: Its axes, with their true sizes.
        labels: Labels of each round, one for each axis.
        texts: Short texts of the values of a list of its own, which may be equal.
        is_inherited: True if the axes are those of another job.
    """

    values: Sequence[Mapping[str, Any]]
    axes: Axes
    labels: Sequence[tuple[Label, ...]]
    texts: Sequence[Label] = ()
    is_inherited: bool = False


def _leaf(place: str, spec: JobSpec, context: Context) -> _Loop:
    leaf = spec.map[place]
    # Only the job that the leaf refers to: a run may have thousands.
    job = context.finished.get(leaf.job) if isinstance(leaf, Reference) else None
    jobs = {} if job is None else {job.spec.name: job.spec}
    if inherited_axes(leaf, jobs):
        return _inherited(place, leaf, context)
    values = context.resolve(leaf)
    where = f"jobs.{spec.name}.map.{place}"
    if not isinstance(values, list):
        raise ValueError(f"{where}: {leaf} is {values!r}, expected a list")
    if not values:
        raise ValueError(f"{where}: {leaf} is empty")
    axes = leaf_axes(place, values, spec, jobs)
    texts: Sequence[Label] = values
    if not axes[0].is_seed or not all(type(value) is int for value in values):
        texts = [_short(value, context) for value in values]
    return _Loop([{place: value} for value in values], axes, _distinct(texts), texts)


def _inherited(place: str, leaf: Reference, context: Context) -> _Loop:
    """Return the loop over an output of a job with axes."""
    job = context.finished[leaf.job]
    axes = mapped_axes(job.spec, leaf.keys)
    positions = [job.spec.axes.index(axis) for axis in axes]
    # of several elements that differ on other axes only, as seeds do for a mean, there is one item
    labels = dict.fromkeys(tuple(each[position] for position in positions) for each in job.labels)
    sizes = [len(set(column)) for column in zip(*labels, strict=True)]
    sized = (replace(axis, size=size) for axis, size in zip(axes, sizes, strict=True))
    if leaf.keys[0] in job.outputs[0]:
        values = [outputs[leaf.keys[0]] for outputs in job.outputs]
    else:
        values = context.lookup(leaf)
    return _Loop([{place: value} for value in values], tuple(sized), [*labels], is_inherited=True)


def _zipped(spec: JobSpec, leaves: Mapping[str, _Loop]) -> _Loop:
    """Return zipped leaves as one loop.

    Raises:
        ValueError: The leaves do not fit.
    """
    inheriting = [place for place, leaf in leaves.items() if leaf.is_inherited]
    axes = {place: leaf.axes for place, leaf in leaves.items()}
    for problem in zip_problems(f"jobs.{spec.name}.map", axes, inheriting):
        raise ValueError(str(problem))
    first = leaves[[*inheriting, *leaves][0]]
    labels = first.labels
    if not inheriting and len(leaves) > 1:
        columns = [leaf.texts for leaf in leaves.values() if len(set(leaf.texts)) > 1]
        rows = zip(*(columns or [first.texts]), strict=True)
        labels = _distinct([" ".join(map(str, row)) for row in rows])
    rounds = zip(*(leaf.values for leaf in leaves.values()), strict=True)
    values = [dict(itertools.chain(*(each.items() for each in parts))) for parts in rounds]
    return _Loop(values, first.axes, labels)


def _distinct(labels: Sequence[Label]) -> list[tuple[Label]]:
    """Return labels with a number after each that came before: ``x``, ``x (2)``."""
    found: dict[Label, None] = {}
    counts: Counter[Label] = Counter()
    for label in labels:
        name = label
        while name in found:
            counts[label] += 1
            name = f"{label} ({counts[label] + 1})"
        found[name] = None
    return [(name,) for name in found]


def _short(value: Any, context: Context) -> str:
    """Return a value as a person knows it; an output of an element has that element's title."""
    if is_node(value):
        return str(value["_target_"]).rpartition(".")[2]
    text = str(value)
    if os.sep in text and isinstance(value, (str, Path)):
        titles = [context.titles.get(str(folder)) for folder in Path(text).parents]
        text = next(filter(None, titles), base_name(Path(text)))
    half = _LONGEST_LABEL // 2
    return text if len(text) <= _LONGEST_LABEL else f"{text[:half]}…{text[1 - half :]}"
