"""Scalars of a run: the objective, and the targets at which iterations stop. Parsed, never evaluated."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.job import JobSpec
from sandbox.planning.references import Reference
from sandbox.running.context import Context

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


@dataclass(frozen=True)
class Scalar:
    """``score.CIDEr``, or an aggregate of a list: ``max(…)``, ``min(…)``, ``mean(…)``, ``best(…)``.

    ``best`` is the largest, or the smallest of what its evaluator calls better when lower.
    """

    text: str
    reference: Reference
    aggregate: str | None

    @classmethod
    def parse(cls, text: str) -> Scalar:
        """Raises ValueError: not of this grammar."""
        match = _SCALAR.fullmatch(str(text))
        name = (match[2] or match[3]) if match else ""
        known = (*AGGREGATES, "best")
        if match is None or "." not in name or (match[1] and match[1] not in known):
            raise ValueError(
                f"{text!r} is not job.output or an aggregate of it; aggregates: {', '.join(known)}"
            )
        job, *keys = name.split(".")
        return cls(str(text).strip(), Reference(job, tuple(keys)), match[1])

    def misfit(self, spec: JobSpec) -> str:
        """What its job's config already tells: a list where one number is needed, or the other way round."""
        name, *more = self.reference.keys
        over_seeds = bool(spec.seeds) and name.removesuffix("_values") in {*spec.outputs} - {name}
        indices = list(itertools.takewhile(str.isdigit, more))
        levels = bool(spec.map) + over_seeds - len(indices)
        place = ".".join((self.reference.job, name, *indices))
        if name == "elements":
            return ""
        if levels > (self.aggregate is not None) or (levels > 0 and len(more) > len(indices)):
            kind = "a list of lists" if levels > 1 else "a list"
            return (
                f"{self.text}: {place} is {kind}; say {_aggregates(place)}, or name one: {place}.0"
            )
        if self.aggregate and not levels and spec.seeds and not over_seeds and more == indices:
            values = f"{self.reference.job}.{name}_values"
            return f"{self.text}: {place} is the mean over seeds; its numbers are {values}"
        return ""

    def value(self, context: Context, lower_is_better: Sequence[str] = ()) -> float:
        """The number.

        Raises:
            ValueError: What the reference stands for is not a number, or not a list of numbers.
        """
        found = context.lookup(self.reference)
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


def _aggregates(place: str) -> str:
    return ", ".join(f"{name}({place})" for name in (*AGGREGATES, "best"))


@dataclass(frozen=True)
class Target:
    """``score.CIDEr >= 0.5``: a scalar, a comparison, a number."""

    scalar: Scalar
    comparison: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Raises ValueError: not of this grammar."""
        for sign in re.findall(r"[=<>!≤≥≠]+", str(text)):
            if sign not in COMPARISONS:
                raise ValueError(
                    f"{text!r}: {sign} is no comparison; comparisons: {' '.join(COMPARISONS)}"
                )
        match = _TARGET.fullmatch(str(text))
        if match is None:
            raise ValueError(
                f"{text!r} is not of the form job.output >= number; comparisons: {' '.join(COMPARISONS)}"
            )
        try:
            threshold = float(match[3])
        except ValueError as error:
            raise ValueError(f"{text!r}: {match[3]!r} is not a number") from error
        if math.isnan(threshold):
            raise ValueError(f"{text!r} can never be met")
        return cls(Scalar.parse(match[1]), match[2], threshold)

    def met(self, context: Context, lower_is_better: Sequence[str] = ()) -> bool:
        """Whether the present iteration reaches it."""
        return COMPARISONS[self.comparison](
            self.scalar.value(context, lower_is_better), self.threshold
        )


def _number(value: Any, text: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(
            f"{text}: is {value!r}, expected a number; for a list say max(…), min(…), mean(…) or best(…)"
        )
    return float(value)
