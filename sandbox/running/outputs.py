"""From the records of a job's elements to the job's outputs: see ``sandbox.planning.axes``."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from sandbox.components.tree import name_of, parent_of, put, select
from sandbox.job import JobSpec, Label, axes_text
from sandbox.planning.axes import candidate_axes, is_repeated, spread_of
from sandbox.running.context import Context, FinishedJob, NoMean
from sandbox.store.fingerprint import Element
from sandbox.store.records import JobRecord


def finish(
    spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord], context: Context
) -> dict[str, Any]:
    """Add a finished job to the context; return its outputs."""
    for element, record in zip(elements, records, strict=True):
        context.hashes |= record.hashes
        context.titles[str(element.folder)] = element.title
    outputs = gather(spec, elements, records)
    context.results[context.iteration, spec.name] = outputs
    context.finished[spec.name] = FinishedJob(
        spec,
        labels=[tuple(element.axes.values()) for element in elements],
        outputs=[record.outputs for record in records],
    )
    return outputs


def gather(
    spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]
) -> dict[str, Any]:
    """Return a job's outputs from its elements' records, as references outside ``map`` read them.

    See :mod:`sandbox.planning.axes`.
    """
    if not spec.axes:
        return dict(records[0].outputs)
    per_element: dict[str, list[Any]] = {
        name: [record.outputs[name] for record in records] for name in records[0].outputs
    }
    outputs: dict[str, Any] = dict(per_element)
    candidates = _by_candidate(spec, elements)
    if is_repeated(spec):
        for name, values in per_element.items():
            outputs |= _over_seeds(spec, name, values, elements, candidates)
    if spec.map:
        num_seeds = max(1, len(spec.seeds))
        configs = [_without_seed(spec, element.config) for element in elements[::num_seeds]]
        outputs["elements"] = {}
        for place in spec.map:
            put(outputs["elements"], place, [select(config, place) for config in configs])
    outputs["axes"] = {
        axis.name: [element.axes[axis.name] for element in elements] for axis in spec.axes
    }
    outputs["candidates"] = [axes_text(_on_candidate_axes(spec, each)) for each in elements]
    return outputs


def candidate_means(
    spec: JobSpec, outputs: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each candidate of a job with seeds: its label, and its means with their deviations.

    The label of the only candidate of a job without another axis is empty.
    """
    if not is_repeated(spec):
        return
    spreads = [name for name in outputs if spread_of(spec, name) == "std"]
    pairs = [(name.removesuffix("_std"), name) for name in spreads]
    names = [name for name in itertools.chain(*pairs) if not isinstance(outputs[name], NoMean)]
    if not candidate_axes(spec.axes):
        yield "", {name: outputs[name] for name in names}
        return
    for index, label in enumerate(dict.fromkeys(outputs["candidates"])):
        yield label, {name: outputs[name][index] for name in names}


def _on_candidate_axes(spec: JobSpec, element: Element) -> dict[str, Label]:
    return {axis.name: element.axes[axis.name] for axis in spec.axes if not axis.is_seed}


def _by_candidate(spec: JobSpec, elements: Sequence[Element]) -> list[list[int]]:
    """Return the indices of the elements of each candidate, in the order of the elements."""
    found: dict[tuple[Label, ...], list[int]] = {}
    for index, element in enumerate(elements):
        found.setdefault(tuple(_on_candidate_axes(spec, element).values()), []).append(index)
    return [*found.values()]


def _over_seeds(
    spec: JobSpec,
    name: str,
    values: Sequence[Any],
    elements: Sequence[Element],
    candidates: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Return one output over seeds: its mean, deviation and values by candidate.

    Without an axis but seeds these are of the one candidate, not a list.
    """
    is_list = bool(candidate_axes(spec.axes))
    grouped = [[values[index] for index in group] for group in candidates]
    found = {f"{name}_values": grouped if is_list else grouped[0]}
    if not _has_means(spec, name, values):
        return found
    try:
        both = [
            _mean(name, group, [elements[index] for index in indices])
            for group, indices in zip(grouped, candidates, strict=True)
        ]
    except ValueError as error:
        return {**found, name: NoMean(str(error)), f"{name}_std": NoMean(str(error))}
    means, deviations = ([pair[part] for pair in both] for part in (0, 1))
    found[name] = means if is_list else means[0]
    found[f"{name}_std"] = deviations if is_list else deviations[0]
    return found


def _has_means(spec: JobSpec, name: str, values: Sequence[Any]) -> bool:
    """Return True if an output is a number: by its annotation, or by its values if that is open."""
    kind = spec.output_kinds.get(name)
    if kind is not None:
        return kind != "other"
    given = [value for value in values if value is not None]
    return bool(given) and all(map(_is_numeric, given))


def _is_numeric(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_numeric, value.values()))
    return isinstance(value, (int, float))


def _mean(name: str, values: Sequence[Any], elements: Sequence[Element]) -> tuple[Any, Any]:
    """Return mean and deviation of numbers, or of each number in mappings.

    Raises:
        ValueError: An element has no number, or not all that the others have.
    """
    if any(isinstance(value, Mapping) for value in values):
        found = [value if isinstance(value, Mapping) else {} for value in values]
        keys = dict.fromkeys(itertools.chain(*found))
        both = {
            key: _mean(f"{name}.{key}", [value.get(key) for value in found], elements)
            for key in keys
        }
        return {key: both[key][0] for key in keys}, {key: both[key][1] for key in keys}
    for value, element in zip(values, elements, strict=True):
        if not isinstance(value, (int, float)):
            raise ValueError(f"{element.full_label} has no {name}")
    return statistics.fmean(values), _deviation(values)


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
