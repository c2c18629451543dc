"""Scalars of a run: its objective and the targets of its iterations; parsed, never evaluated."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.problem import Problem
from sandbox.job import JobSpec
from sandbox.planning.axes import BESIDE, candidate_axes, is_repeated, spread_of
from sandbox.planning.references import Reference, available, is_made
from sandbox.planning.settings import texts

AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "mean": lambda values: math.fsum(values) / len(values),
}
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_SCALAR = re.compile(r"\s*(?:(\w+)\(\s*([\w.]+)\s*\)|([\w.]+))\s*")
_TARGET = re.compile(r"(.+?)(>=|<=|>|<)\s*([-+.\w]+)\s*")

Lookup = Callable[[Reference], Any]
"""Function that returns the value of a reference."""


@dataclass(frozen=True)
class Scalar:
    """``score.CIDEr``, or an aggregate of a list: ``max(…)``, ``min(…)``, ``mean(…)``, ``best(…)``.

    ``best`` is the largest value, or the smallest of a score that is better when lower.
    """

    text: str
    reference: Reference
    aggregate: str | None

    @classmethod
    def parse(cls, text: str) -> Scalar:
        """Return the scalar that ``text`` spells.

        Raises:
            ValueError: It is not of this grammar.
        """
        match = _SCALAR.fullmatch(str(text))
        name = (match[2] or match[3]) if match else ""
        known = (*AGGREGATES, "best")
        if match is None or "." not in name or (match[1] and match[1] not in known):
            raise ValueError(
                f"{text!r} is not job.output or an aggregate of it; aggregates: {', '.join(known)}"
            )
        return cls(str(text).strip(), Reference.named(name), match[1])

    def misfit(self, spec: JobSpec) -> str:
        """Return why its job's config rules it out: a list for a number, or the other way round."""
        name, *more = self.reference.keys
        if name in BESIDE:
            return ""
        is_values = spread_of(spec, name) == "values"
        is_mean = is_repeated(spec) and spec.output_kinds.get(name) != "other"
        axes = candidate_axes(spec.axes) if is_mean else spec.axes
        indices = list(itertools.takewhile(str.isdigit, more))
        levels = bool(axes) + is_values - len(indices)
        place = ".".join((self.reference.job, name, *indices))
        reads_inside = levels > 0 and len(more) > len(indices)
        if levels > (self.aggregate is not None) or reads_inside:
            kind = "a list of lists" if levels > 1 else "a list"
            return f"{self.text}: {place} is {kind}; use {_aggregates(place)}, or {place}.0"
        if self.aggregate and not levels and is_mean and not is_values and more == indices:
            values = f"{self.reference.job}.{name}_values"
            return f"{self.text}: {place} is the mean over seeds; its numbers are {values}"
        return ""

    def value(self, lookup: Lookup, lower_is_better: Sequence[str] = ()) -> float:
        """Return the number.

        Raises:
            ValueError: The reference does not stand for a number, or for a list of numbers.
        """
        found = lookup(self.reference)
        if self.aggregate is None:
            return _number(found, self.text)
        if not isinstance(found, list) or not found:
            raise ValueError(
                f"{self.text}: {self.reference} is {found!r}, expected a list of numbers"
            )
        name = self.aggregate
        if name == "best":
            name = "min" if self.reference.keys[-1] in lower_is_better else "max"
        return AGGREGATES[name]([_number(item, self.text) for item in found])


@dataclass(frozen=True)
class Target:
    """``score.CIDEr >= 0.5``: a scalar, a comparison, a number."""

    scalar: Scalar
    comparison: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Return the target that ``text`` spells.

        Raises:
            ValueError: It is not of this grammar.
        """
        known = f"comparisons: {' '.join(COMPARISONS)}"
        for sign in re.findall(r"[=<>!≤≥≠]+", str(text)):
            if sign not in COMPARISONS:
                raise ValueError(f"{text!r}: {sign} is no comparison; {known}")
        match = _TARGET.fullmatch(str(text))
        if match is None:
            raise ValueError(f"{text!r} is not of the form job.output >= number; {known}")
        try:
            threshold = float(match[3])
        except ValueError as error:
            raise ValueError(f"{text!r}: {match[3]!r} is not a number") from error
        if math.isnan(threshold):
            raise ValueError(f"{text!r} can never be met")
        return cls(Scalar.parse(match[1]), match[2], threshold)

    def met(self, lookup: Lookup, lower_is_better: Sequence[str] = ()) -> bool:
        """Return True if the present iteration reaches it."""
        value = self.scalar.value(lookup, lower_is_better)
        return COMPARISONS[self.comparison](value, self.threshold)


@dataclass(frozen=True)
class Scalars:
    """The scalars of a config.

    Args:
        objective: What the run returns.
        targets: What ends its iterations.
        any_target: True if one met target is enough.
        problems: What is wrong with them.
    """

    objective: tuple[Scalar, ...]
    targets: tuple[Target, ...]
    any_target: bool
    problems: tuple[Problem, ...]


def read_scalars(
    objective: Any, targets: Any, specs: Sequence[JobSpec], broken: Collection[str]
) -> Scalars:
    """Parse ``objective`` and ``targets`` and check them against the jobs.

    Args:
        objective: The setting of that name, plain.
        targets: The setting of that name, plain.
        specs: The jobs.
        broken: Jobs whose results are not known; scalars of these are not checked.
    """
    given, any_target, problems = _targets(targets)
    objectives, goals = [], []
    for text in texts(objective):
        try:
            objectives.append(Scalar.parse(text))
        except ValueError as error:
            problems.append(Problem("objective", "scalar", str(error)))
    for text in given:
        try:
            goals.append(Target.parse(text))
        except ValueError as error:
            problems.append(Problem("targets", "scalar", str(error)))
    for scalar in objectives:
        problems += _scalar_problems(scalar, "objective", specs, broken)
    for target in goals:
        problems += _scalar_problems(target.scalar, "targets", specs, broken)
    return Scalars(tuple(objectives), tuple(goals), any_target, tuple(problems))


def _targets(given: Any) -> tuple[list[str], bool, list[Problem]]:
    """Return the texts of the targets, True if any one is enough, and what is wrong."""
    if not isinstance(given, dict):
        return texts(given), False, []
    if len(given) != 1 or not set(given) <= {"all", "any"}:
        text = f"expected a list, or one of `all:` and `any:` with a list, given {given!r}"
        return [], False, [Problem("targets", "scalar", text)]
    ((kind, items),) = given.items()
    return texts(items), kind == "any", []


def _scalar_problems(
    scalar: Scalar, where: str, specs: Sequence[JobSpec], broken: Collection[str]
) -> list[Problem]:
    if scalar.reference.job in broken:
        return []
    made = {spec.name: spec.outputs for spec in specs}
    if not is_made(scalar.reference, made):
        text = f"{scalar.text} is produced by no job"
        return [Problem(where, "reference", text, available(scalar.reference, made))]
    by_name = {spec.name: spec for spec in specs}
    misfit = scalar.misfit(by_name[scalar.reference.job])
    return [Problem(where, "scalar", misfit)] if misfit else []


def _aggregates(place: str) -> str:
    return ", ".join(f"{name}({place})" for name in (*AGGREGATES, "best"))


def _number(value: Any, text: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = "of a list use max(…), min(…), mean(…) or best(…)"
        raise ValueError(f"{text}: is {value!r}, expected a number; {hint}")
    return float(value)
