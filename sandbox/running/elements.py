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
from sandbox.job import JobSpec, Label
from sandbox.planning.axes import (
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
        config = deepcopy(dict(spec.config))
        for place, value in choice.items():
            put(config, place, deepcopy(value))
        config = context.resolve(config)
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
    if spec.product or not leaves:
        parts = [*leaves.values()]
        choices: Iterable[tuple[Any, ...]] = itertools.product(*(leaf.values for leaf in parts))
        labels: Iterable[tuple[Any, ...]] = itertools.product(*(leaf.labels for leaf in parts))
    else:
        parts = [_zipped(spec, leaves)]
        choices = zip(*(leaf.values for leaf in leaves.values()), strict=True)
        labels = ((each,) for each in parts[0].labels)
    rows: list[_Row] = []
    for choice, each in zip(choices, labels, strict=True):
        values = dict(zip(leaves, choice, strict=True))
        of_row: tuple[Label, ...] = tuple(itertools.chain(*each))
        rows += [((*of_row, seed), {**values, spec.seed_argument: seed}) for seed in spec.seeds]
        rows += [] if spec.seeds else [(of_row, values)]
    are_seeds = [axis.is_seed for leaf in parts for axis in leaf.axes]
    return _seeds_last(rows, [*are_seeds, *([True] if spec.seeds else [])])


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
class _Leaf:
    """A leaf of ``map``, resolved.

    Args:
        values: One for each round.
        axes: Its axes, with their true sizes.
        labels: Labels of each value, one for each axis.
        texts: Short texts of the values of a list of its own, which may be equal.
        is_inherited: True if the axes are those of another job.
    """

    values: Sequence[Any]
    axes: Axes
    labels: Sequence[tuple[Label, ...]]
    texts: Sequence[Label] = ()
    is_inherited: bool = False


def _leaf(place: str, spec: JobSpec, context: Context) -> _Leaf:
    leaf = spec.map[place]
    jobs = {name: job.spec for name, job in context.finished.items()}
    if inherited_axes(leaf, jobs):
        return _inherited(leaf, context)
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
    return _Leaf(values, axes, _distinct(texts), texts)


def _inherited(leaf: Reference, context: Context) -> _Leaf:
    """Return a leaf that maps over an output of a job with axes."""
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
    return _Leaf(values, tuple(sized), [*labels], is_inherited=True)


def _zipped(spec: JobSpec, leaves: Mapping[str, _Leaf]) -> _Leaf:
    """Return the leaf whose axes and labels zipped leaves have together.

    Raises:
        ValueError: The leaves do not fit.
    """
    inheriting = [place for place, leaf in leaves.items() if leaf.is_inherited]
    parts = {place: leaf.axes for place, leaf in leaves.items()}
    for problem in zip_problems(f"jobs.{spec.name}.map", parts, inheriting):
        raise ValueError(str(problem))
    first = leaves[[*inheriting, *leaves][0]]
    if inheriting or len(leaves) == 1:
        return first
    columns = [leaf.texts for leaf in leaves.values() if len(set(leaf.texts)) > 1]
    columns = columns or [first.texts]
    texts = [" ".join(map(str, each)) for each in zip(*columns, strict=True)]
    return replace(first, labels=_distinct(texts))


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
