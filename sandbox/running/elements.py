"""From a job to its element jobs, and from their records back to the job's outputs."""

from __future__ import annotations

import itertools
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from sandbox.job import JobSpec
from sandbox.planning.tree import select
from sandbox.planning.wording import unequal
from sandbox.running.context import Context
from sandbox.store.fingerprint import Element, parts_of
from sandbox.store.records import JobRecord, JobStore

_LONGEST_TITLE = 40


def expand(
    spec: JobSpec,
    context: Context,
    store: JobStore,
    allowed: tuple[str, ...],
    not_before: float = 0.0,
) -> list[Element]:
    """The element jobs of a job, in the order of its ``map``, every element's seeds together.

    Raises:
        OutputNotFound: It reads an output that is not there yet.
        ValueError: A mapped reference does not stand for a list, or zipped lists have unequal lengths.
    """
    found = []
    seeds = [{spec.seed_argument: seed} for seed in spec.seeds] or [{}]
    choices = [choice | seed for choice in _choices(spec, context) for seed in seeds]
    for index, (choice, title) in enumerate(zip(choices, _titles(choices, context), strict=True)):
        config = deepcopy(dict(spec.config))
        for place, value in choice.items():
            _put(config, place, deepcopy(value))
        config = context.resolve(config)
        label = f"{spec.name}[{index}]" if spec.map or spec.seeds else spec.name
        parts = parts_of(config, allowed, store.hashes, context.hashes)
        found.append(
            Element(spec.name, label, config, parts, store.root, allowed, not_before, title)
        )
    return found


def _titles(choices: Sequence[Mapping[str, Any]], context: Context) -> list[str]:
    """What tells each element from the others, in short: file names, numbers, classes."""
    columns = [[_short(choice[place], context) for choice in choices] for place in choices[0]]
    telling = [column for column in columns if len(set(column)) > 1]
    return [" ".join(column[index] for column in telling) for index in range(len(choices))]


def _short(value: Any, context: Context) -> str:
    """A value as a person knows it; what an element made is known by that element's own title."""
    if isinstance(value, Mapping):
        return str(value.get("_target_", "")).rpartition(".")[2]
    text = str(value)
    if os.sep not in text or isinstance(value, list):
        return text if len(text) <= _LONGEST_TITLE else ""
    made_by = (context.titles.get(str(folder)) for folder in Path(text).parents)
    return next(filter(None, made_by), Path(text).stem)


def _choices(spec: JobSpec, context: Context) -> list[dict[str, Any]]:
    """Values by dotted place, one mapping an element."""
    leaves = {place: context.resolve(leaf) for place, leaf in spec.map.items()}
    for place, leaf in leaves.items():
        if not isinstance(leaf, list):
            raise ValueError(
                f"jobs.{spec.name}.map.{place}: {spec.map[place]} is {leaf!r}, expected a list"
            )
        if not leaf:
            raise ValueError(f"jobs.{spec.name}.map.{place}: {spec.map[place]} is empty")
    if spec.product:
        rows: Iterable[tuple[Any, ...]] = itertools.product(*leaves.values())
    else:
        lengths = {place: len(leaf) for place, leaf in leaves.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(unequal(f"jobs.{spec.name}", lengths))
        rows = zip(*leaves.values(), strict=True)
    return [dict(zip(leaves, row, strict=True)) for row in rows] if leaves else [{}]


def gather(
    spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]
) -> dict[str, Any]:
    """A job's outputs from its elements' records: lists in input order where it is mapped.

    The mapped arguments stand beside them under ``elements``, in the structure of ``map``.

    With ``seeds`` a number becomes its mean over seeds, with ``<name>_std`` (sample standard
    deviation, 0 for one seed) and ``<name>_values`` beside; anything else becomes a list over seeds.
    """
    per_element = [dict(record.outputs) for record in records]
    if spec.seeds:
        size = len(spec.seeds)
        per_element = [
            _over_seeds(per_element[i : i + size]) for i in range(0, len(per_element), size)
        ]
    if not spec.map:
        return per_element[0]
    outputs: dict[str, Any] = {key: [one[key] for one in per_element] for key in per_element[0]}
    configs = [
        _without_seed(spec, element.config) for element in elements[:: max(1, len(spec.seeds))]
    ]
    outputs["elements"] = {}
    for place in spec.map:
        _put(outputs["elements"], place, [select(config, place) for config in configs])
    return outputs


def _over_seeds(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in outputs[0]:
        values = [one[key] for one in outputs]
        if all(isinstance(value, (int, float)) for value in values):
            merged[key] = statistics.fmean(values)
            merged[f"{key}_std"] = _deviation(values)
        else:
            merged[key] = values
            merged[f"{key}_std"] = None
        merged[f"{key}_values"] = values
    return merged


def _deviation(values: Sequence[float]) -> float:
    if not all(map(math.isfinite, values)):  # which statistics.stdev cannot take
        return math.nan
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _without_seed(spec: JobSpec, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """An element's config as all its seeds have it."""
    parent = select(config := deepcopy(dict(config)), spec.seed_argument.rpartition(".")[0])
    if spec.seeds:
        del parent[spec.seed_argument.rpartition(".")[2]]
    return config


def _put(config: dict[str, Any], place: str, value: Any) -> None:
    *parents, last = place.split(".")
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value
