"""Statistics of samples: joined to their lines, and summed up as Data-Juicer's Analyzer does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from juicer_lines import replace
from sample_files import STATS

_SUMMARY = {
    "count": "count",
    "mean": "mean",
    "std": "std",
    "min": "min",
    "25%": "q25",
    "50%": "q50",
    "75%": "q75",
    "max": "max",
}


def plain(value: Any) -> Any:
    """Return a statistic as JSON: Python's own numbers and lists, ``None`` for NaN and infinity."""
    if hasattr(value, "tolist"):  # an array or a scalar of numpy
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def joined(
    lines: Iterable[str], given: Iterable[str], computed: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Add statistics to the prepared lines.

    Args:
        lines: The prepared lines.
        given: Statistics that the samples had, as JSON; those that are not computed stay.
        computed: The new statistics.
    """
    for line, old, new in zip(lines, given, computed, strict=True):
        text = json.dumps({**json.loads(old), **plain(new)}, ensure_ascii=False)
        yield replace(line.rstrip("\n"), {STATS: text}) + "\n"


def summary(overall: Any) -> dict[str, dict[str, float | None]]:
    """Return count, mean, … of every numeric column of Data-Juicer's overall table.

    A number that a single sample does not define is ``None``.
    """
    found = {}
    for statistic in overall.columns:
        values = overall[statistic]
        try:
            numbers = {name: float(values[row]) for row, name in _SUMMARY.items()}
        except (TypeError, ValueError):
            continue
        if not math.isnan(numbers["mean"]):
            found[statistic] = {name: None if math.isnan(x) else x for name, x in numbers.items()}
    return found
