"""From a job to its element jobs, and from their records back to the job's outputs."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from sandbox.components.tree import name_of, parent_of, put, select
from sandbox.job import JobSpec
from sandbox.planning.job_map import too_many_elements, unequal_lengths
from sandbox.running.context import Context
from sandbox.store.fingerprint import Element, parts_of
from sandbox.store.records import JobRecord, JobStore

_LONGEST_TITLE = 40


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
        ValueError: A mapped reference is no list, zipped lists have unequal lengths, or there are
            too many elements.
    """
    seeds = [{spec.seed_argument: seed} for seed in spec.seeds] or [{}]
    choices = [choice | seed for choice in _choices(spec, context) for seed in seeds]
    titles = _titles(choices, context)
    found = []
    for index, choice in enumerate(choices):
        config = deepcopy(dict(spec.config)) if choice else dict(spec.config)
        for place, value in choice.items():
            put(config, place, deepcopy(value))
        config = context.resolve(config)  # a copy
        element = Element(
            job=spec.name,
            label=f"{spec.name}[{index}]" if spec.map or spec.seeds else spec.name,
            config=config,
            parts=parts_of(config, allowed, store.hashes, context.hashes),
            store_dir=store.root,
            allowed=allowed,
            title=titles[index],
        )
        after = (replaced or {}).get(element.fingerprint, 0)
        found.append(dataclasses.replace(element, after=after) if after else element)
    return found


def gather(
    spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]
) -> dict[str, Any]:
    """Return a job's outputs from its elements' records: lists in input order where it is mapped.

    The mapped arguments are beside them under ``elements``, in the structure of ``map``.

    With ``seeds`` a number becomes its mean over seeds, with ``<name>_std`` (sample standard
    deviation, 0 for one seed) and ``<name>_values`` beside; anything else becomes a list.
    """
    per_element = [dict(record.outputs) for record in records]
    num_seeds = max(1, len(spec.seeds))
    if spec.seeds:
        starts = range(0, len(per_element), num_seeds)
        per_element = [_over_seeds(per_element[start : start + num_seeds]) for start in starts]
    if not spec.map:
        return per_element[0]
    outputs: dict[str, Any] = {key: [one[key] for one in per_element] for key in per_element[0]}
    configs = [_without_seed(spec, element.config) for element in elements[::num_seeds]]
    outputs["elements"] = {}
    for place in spec.map:
        put(outputs["elements"], place, [select(config, place) for config in configs])
    return outputs


def _choices(spec: JobSpec, context: Context) -> list[dict[str, Any]]:
    """Return the mapped values by dotted place, one mapping an element."""
    where = f"jobs.{spec.name}.map"
    leaves = {place: context.resolve(leaf) for place, leaf in spec.map.items()}
    for place, leaf in leaves.items():
        if not isinstance(leaf, list):
            raise ValueError(f"{where}.{place}: {spec.map[place]} is {leaf!r}, expected a list")
        if not leaf:
            raise ValueError(f"{where}.{place}: {spec.map[place]} is empty")
    if not leaves:
        return [{}]
    lengths = {place: len(leaf) for place, leaf in leaves.items()}
    too_many = too_many_elements(f"jobs.{spec.name}", lengths, spec.product, len(spec.seeds))
    if too_many:
        raise ValueError(str(too_many))
    if spec.product:
        rows: Iterable[tuple[Any, ...]] = itertools.product(*leaves.values())
    elif len(set(lengths.values())) > 1:
        raise ValueError(str(unequal_lengths(where, lengths)))
    else:
        rows = zip(*leaves.values(), strict=True)
    return [dict(zip(leaves, row, strict=True)) for row in rows]


def _titles(choices: Sequence[Mapping[str, Any]], context: Context) -> list[str]:
    """Return a short label for each element from the values in which it differs from others."""
    columns = [[_short(choice[place], context) for choice in choices] for place in choices[0]]
    differing = [column for column in columns if len(set(column)) > 1]
    return [" ".join(column[index] for column in differing) for index in range(len(choices))]


def _short(value: Any, context: Context) -> str:
    """Return a value as a person knows it; an output of an element has that element's title."""
    if isinstance(value, Mapping):
        return str(value.get("_target_", "")).rpartition(".")[2]
    text = str(value)
    if os.sep not in text or isinstance(value, list):
        return text if len(text) <= _LONGEST_TITLE else ""
    titles = [context.titles.get(str(folder)) for folder in Path(text).parents]
    return next(filter(None, titles), Path(text).stem)


def _over_seeds(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the outputs of one element's seeds."""
    merged: dict[str, Any] = {}
    for key in outputs[0]:
        values = [one[key] for one in outputs]
        is_number = all(isinstance(value, (int, float)) for value in values)
        merged[key] = statistics.fmean(values) if is_number else values
        merged[f"{key}_std"] = _deviation(values) if is_number else None
        merged[f"{key}_values"] = values
    return merged


def _deviation(values: Sequence[float]) -> float:
    if not all(map(math.isfinite, values)):  # statistics.stdev cannot take these
        return math.nan
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _without_seed(spec: JobSpec, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an element's config as all its seeds have it."""
    copy = deepcopy(dict(config))
    if spec.seeds:
        del select(copy, parent_of(spec.seed_argument))[name_of(spec.seed_argument)]
    return copy
