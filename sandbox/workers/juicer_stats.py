"""Statistics of samples: joined to their lines, and summed up as Data-Juicer's Analyzer does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import juicer_lines

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
    """A statistic as JSON: numbers and lists of Python's own, ``None`` for what is no number."""
    if hasattr(value, "tolist"):  # an array or a scalar of numpy
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def joined(
    originals: Iterable[dict[str, Any]],
    lines: Iterable[str],
    statistics: Iterable[Mapping[str, Any]],
) -> Iterator[str]:
    """The prepared lines with their statistics; other statistics that a sample had are kept."""
    for sample, line, computed in zip(originals, lines, statistics, strict=True):
        stats = {**(sample.get(juicer_lines.STATS) or {}), **plain(computed)}
        text = json.dumps(stats, ensure_ascii=False)
        yield juicer_lines.replace(line.rstrip("\n"), {juicer_lines.STATS: text}) + "\n"


def originals(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of a data set as they were given."""
    return (sample for _, _, sample in juicer_lines.samples(path))


def summary(overall: Any) -> dict[str, dict[str, float | None]]:
    """Count, mean, … of every numeric column of Data-Juicer's overall table.

    What a single sample does not define is ``None``.
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
