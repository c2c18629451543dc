"""References whose shape does not fit their place: a list for one value, lists of other lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import is_pending
from sandbox.components.job_results import producer
from sandbox.components.problem import Problem
from sandbox.components.signature import arguments_of, rules_of, run_annotations
from sandbox.components.tree import joined, nodes
from sandbox.components.values import Pending, describe, value_problems
from sandbox.job import JobSpec
from sandbox.planning.axes import Jobs, Length, axes_names, job_of, listed_axes, unequal
from sandbox.planning.references import Reference, placed_references
from sandbox.system.wording import did_you_mean


def shape_problems(spec: JobSpec, jobs: Jobs, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield references whose shape does not fit their place: a list for one value, for example.

    Args:
        spec: The job that holds the references.
        jobs: Earlier jobs by name, with axes.
        allowed: Patterns of allowed targets.
    """
    where = f"jobs.{spec.name}"
    for place, reference in placed_references({**spec.config, "map": spec.map}):
        yield from _axis_name_problems(f"{where}.{place}", reference, jobs)
    for place, node in nodes(spec.config):
        try:
            cls = locate(node["_target_"], allowed)
            passed_on = {} if place else _run_annotations(spec, allowed)
        except TargetError:  # reported where components are checked
            continue
        given = {name: value for name, value in node.items() if joined(place, name) not in spec.map}
        arguments = arguments_of(cls)
        for name in [name for name in given if name in arguments]:
            annotations = [arguments[name].annotation]
            annotations += [passed_on[name]] if name in passed_on else []
            spot = joined(where, joined(place, name))
            yield from _argument_problems(given[name], annotations, spot, jobs)
        yield from _parallel_problems(cls, given, joined(where, place), jobs)


def _axis_name_problems(where: str, reference: Reference, jobs: Jobs) -> Iterator[Problem]:
    job = jobs.get(reference.job)
    if job is None or reference.previous or reference.keys[:1] != ("axes",) or not job.axes:
        return
    names = [axis.name for axis in job.axes]
    given = ".".join(reference.keys[1:])
    inner = given.rstrip("0123456789").rstrip(".")  # an index of the list
    if given and given not in names and inner not in names:
        text = f"{reference} names no axis of {job.name}"
        yield Problem(where, "reference", text, did_you_mean(given, names))


def _run_annotations(spec: JobSpec, allowed: Sequence[str]) -> Mapping[str, Any]:
    """Return the annotations of what a job's hook passes on to the ``run`` of its component."""
    cls = producer(spec.config, allowed)
    return {} if cls is None else run_annotations(cls)


def _argument_problems(
    value: Any, annotations: Sequence[Any], where: str, jobs: Jobs
) -> Iterator[Problem]:
    """Yield a reference to a list for an argument that takes none, or to a mean for a list."""
    job = job_of(value, jobs)
    axes = None if job is None else listed_axes(job, value.keys)
    if job is None or axes is None or not job.axes:
        return
    kind = job.output_kinds.get(value.keys[0])
    if not axes and kind != "number":
        return
    stand_in = [Pending()] if axes else 0.5
    for annotation in annotations:
        found = [*value_problems(stand_in, annotation, where)]
        if not any(problem.kind == "wrong_type" for problem in found):
            continue
        text = f"{value} is the mean over seeds, expected {describe(annotation)}"
        hint = f"its values are {value.keys[0]}_values"
        if axes:
            text = f"{value} is a list over {axes_names(axes)}, expected {describe(annotation)}"
            hint = "to give each element one item, write it below `map`"
        yield Problem(where, "wrong_type", text, hint)
        return


def _parallel_problems(
    cls: type, given: Mapping[str, Any], where: str, jobs: Jobs
) -> Iterator[Problem]:
    """Yield lists of a component that cannot have one length, though they must."""
    for rule in rules_of(cls):
        names = getattr(rule, "parallel", ())
        if not is_pending([given.get(name) for name in names]):
            continue  # the rule itself has seen the lists
        found = {name: _length(given.get(name), jobs) for name in names}
        lengths = {name: length for name, length in found.items() if length is not None}
        text = unequal(lengths)
        if text:
            yield Problem(where, "rule", f"expected lists of one length, got: {text}")


def _length(value: Any, jobs: Jobs) -> Length | None:
    """Return the length of an argument's list, as far as the plan knows it."""
    if isinstance(value, list):
        return Length(len(value))
    if not isinstance(value, Reference):
        return None
    job = job_of(value, jobs)
    if job is None or not job.axes:
        return Length(1, (str(value),))
    axes = listed_axes(job, value.keys)
    return Length.of(axes) if axes else None
