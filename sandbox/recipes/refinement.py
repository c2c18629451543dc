"""Set the thresholds of a recipe to bounds that ``k_sigma`` or ``percentiles`` find in its data."""

from __future__ import annotations

import copy
import difflib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.recipes import as_file, as_mapping, to_yaml
from sandbox.recipes.operators import operator_name
from sandbox.recipes.thresholds import Threshold, thresholds

log = logging.getLogger(__name__)

Mark = Literal["tightened", "loosened", "clipped"]


@dataclass(frozen=True)
class Bounds:
    """The new thresholds on a statistic.

    Args:
        low: Lower side.
        high: Upper side.
        low_reason: Origin of ``low``, such as ``percentile 5 of text_len``.
        high_reason: Origin of ``high``.
    """

    low: float
    high: float
    low_reason: str
    high_reason: str


@dataclass(frozen=True)
class Change:
    """One argument that a refinement set.

    Args:
        operator: Its key in ``process``.
        argument: Name of the argument.
        before: Its value in the given recipe; ``None`` if that leaves it to Data-Juicer.
        after: Its new value.
        marks: ``tightened`` or ``loosened``, or neither if ``before`` is ``None``; ``clipped`` if
            the bound is outside of the legal range. Only a tightened bound removes more samples.
        reason: Origin of the bound.
    """

    operator: str
    argument: str
    before: Any
    after: Any
    marks: tuple[Mark, ...]
    reason: str

    def __str__(self) -> str:
        before = "Data-Juicer's default" if self.before is None else self.before
        parts = ", ".join([f"{before} → {self.after}", *self.marks])
        return f"{self.operator}.{self.argument}: {parts} ({self.reason})"


@dataclass(frozen=True)
class Refinement:
    """A refined recipe and its difference from the given one.

    Args:
        recipe: The new recipe, ``process`` as a mapping by operator.
        original: The given recipe in the same form.
        changes: Arguments that have another value now, in order.
        untouched: Operators of the recipe that stay as they are, and the reason.
    """

    recipe: dict[str, Any]
    original: dict[str, Any]
    changes: tuple[Change, ...]
    untouched: dict[str, str]

    def lines(self) -> list[str]:
        """Return every change and every operator that stays as it is, one a line."""
        kept = [f"{operator} is untouched: {reason}" for operator, reason in self.untouched.items()]
        return [*map(str, self.changes), *kept]

    def diff(self) -> str:
        """Return a unified diff of the recipes in YAML, headed by :meth:`lines` as comments."""
        before, after = (to_yaml(recipe).splitlines() for recipe in (self.original, self.recipe))
        changes = difflib.unified_diff(
            before, after, "recipe.yaml", "refined recipe.yaml", lineterm=""
        )
        return "\n".join([*(f"# {line}" for line in self.lines()), *changes]) + "\n"

    def write(self, output_dir: Path, log_path: Path) -> dict[str, Any]:
        """Write ``recipe.yaml`` and ``recipe.diff``, log the changes, return a hook's results."""
        recipe_path = output_dir / "recipe.yaml"
        recipe_path.write_text(as_file(self.recipe), encoding="utf-8")
        diff_path = output_dir / "recipe.diff"
        diff_path.write_text(self.diff(), encoding="utf-8")
        with log_path.open("a", encoding="utf-8") as file:
            file.write(self.diff())
        for line in self.lines():
            log.info("%s", line)
        marks = Counter(mark for change in self.changes for mark in change.marks)
        num_set = sum(change.before is None for change in self.changes)
        return {
            "recipe": self.recipe,
            "recipe_path": recipe_path,
            "diff_path": diff_path,
            "bounds": {
                f"{change.operator}.{change.argument}": {
                    "before": change.before,
                    "after": change.after,
                    "marks": list(change.marks),
                }
                for change in self.changes
            },
            "num_tightened": marks["tightened"],
            "num_loosened": marks["loosened"],
            "num_clipped": marks["clipped"],
            "summary": (
                f"bounds: {marks['tightened']} tightened, {marks['loosened']} loosened, "
                f"{num_set} set that the recipe did not give; {marks['clipped']} of all clipped"
            ),
        }


def refine(
    recipe: Mapping[str, Any],
    bounds: Callable[[str, Sequence[Threshold]], Sequence[Bounds | None] | str],
) -> Refinement:
    """Set both sides of every filter of a recipe.

    Whole numbers stay whole, the lower side rounded down and the upper up; other numbers are
    rounded outward at the ninth digit, so that a statistic that never varies loses no sample to
    rounding. Values are clipped to the legal range (a ratio to [0, 1], a length to 0 and above).
    Arguments that are no thresholds stay as they are, and so do operators without statistics and
    those with ``reversed_range``.

    Args:
        recipe: Data-Juicer's own keys; never edited.
        bounds: Called with an operator's key in ``process`` (with its suffix) and its thresholds;
            returns the bounds of each, ``None`` without a statistic, or the reason why the operator
            is not refined.
    """
    process = as_mapping(recipe)
    original = {**copy.deepcopy(dict(recipe)), "process": process}
    # The original is compared with in the diff, and its caller's recipe is never edited.
    refined = copy.deepcopy(original)
    changes: list[Change] = []
    untouched = {}
    for key, arguments in refined["process"].items():
        found = _bounds(key, arguments, bounds)
        if isinstance(found, str):
            untouched[key] = found
        else:
            changes += _set(key, arguments, found)
    return Refinement(refined, original, tuple(changes), untouched)


def check_operators(name: str, given: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Check that an argument by operator names operators of the recipe.

    Raises:
        ValueError: It names another.
    """
    known = list(as_mapping(recipe))
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(
            f"{name}: the recipe has no {', '.join(unknown)}; its operators: {', '.join(known)}"
        )


def _bounds(
    key: str,
    arguments: Mapping[str, Any],
    bounds: Callable[[str, Sequence[Threshold]], Sequence[Bounds | None] | str],
) -> list[tuple[Threshold, Bounds]] | str:
    """Return the thresholds of an operator with their bounds, or why it stays as it is."""
    known = thresholds(operator_name(key), arguments)
    if not known:
        return "it has no thresholds on a statistic"
    if arguments.get("reversed_range"):
        return "it keeps samples outside its range (reversed_range)"
    found = bounds(key, known)
    if isinstance(found, str):
        return found
    both = zip(known, found, strict=True)
    pairs = [(threshold, sides) for threshold, sides in both if sides is not None]
    return pairs or f"no statistic {' or '.join(threshold.statistic for threshold in known)}"


def _set(
    key: str, arguments: dict[str, Any], found: Sequence[tuple[Threshold, Bounds]]
) -> list[Change]:
    changes = []
    for threshold, sides in found:
        for argument, bound, value, reason in (
            (threshold.minimum, sides.low, threshold.at_least(sides.low), sides.low_reason),
            (threshold.maximum, sides.high, threshold.at_most(sides.high), sides.high_reason),
        ):
            if argument is None:
                continue
            before = arguments.get(argument)
            if before != value:
                marks = _marks(threshold, argument, before, value, bound)
                changes.append(Change(key, argument, before, value, marks, reason))
            arguments[argument] = value
    return changes


def _marks(
    threshold: Threshold, argument: str, before: Any, after: Any, bound: float
) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    old, new = threshold.number(before), threshold.number(after)
    if old is not None and new is not None and old != new:
        is_tighter = new > old if argument == threshold.minimum else new < old
        marks.append("tightened" if is_tighter else "loosened")
    if not threshold.lowest <= bound <= threshold.highest:
        marks.append("clipped")
    return tuple(marks)
