"""Run Data-Juicer's Analyzer: statistics of every sample, and their summary.

Usage: juicer_analyze.py request.json
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import juicer_lines
import juicer_session

_SUMMARY = {
    "count": "count",
    "mean": "mean",
    "std": "std",
    "min": "min",
    "25%": "q25",
    "50%": "q50",
    "75%": "q75",
}


def analyze(request: dict[str, Any]) -> dict[str, Any]:
    """Analyze the data set and write its lines with the statistics of each."""
    dataset_path, num_samples = juicer_session.prepare(request)
    export_path = Path(request["cache_dir"]) / "analyzed.jsonl"
    config = juicer_session.configure(request, dataset_path, export_path=str(export_path))
    from data_juicer.core import analyzer as module

    if not request["plots"]:
        module.ColumnWiseAnalysis = module.CorrelationAnalysis = _NoFigures
    analyzer = module.Analyzer(config)
    analyzed = analyzer.run(skip_export=not request["plots"])
    if analyzer.overall_result is None:
        raise juicer_session.RecipeError("recipe: no operator of it computes statistics; it needs a filter")
    if len(analyzed) != num_samples:
        raise juicer_session.RecipeError(f"{num_samples} samples went in, {len(analyzed)} came out")
    analysis_dir = Path(analyzer.analysis_path)
    analyzer.overall_result.to_csv(analysis_dir / "overall.csv")
    _join(Path(request["dataset_path"]), dataset_path, export_path.with_name("analyzed_stats.jsonl"), request)
    return {"analysis_dir": str(analysis_dir), "statistics": _summary(analyzer.overall_result)}


class _NoFigures:
    """Stands in for the analyses that only draw, which takes longer than a small data set's statistics."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def analyze(self, **kwargs: Any) -> None:
        """Draw nothing."""


def _summary(overall: Any) -> dict[str, dict[str, float | None]]:
    """Count, mean, … of every numeric statistic; what a single sample does not define is ``None``."""
    names = {**_SUMMARY, "max": "max"}
    summary = {}
    for statistic in overall.columns:
        values = overall[statistic]
        try:
            numbers = {name: float(values[row]) for row, name in names.items()}
        except (TypeError, ValueError):
            continue
        if not math.isnan(numbers["mean"]):
            summary[statistic] = {name: None if math.isnan(x) else x for name, x in numbers.items()}
    return summary


def _join(source: Path, prepared: Path, stats_path: Path, request: dict[str, Any]) -> None:
    """Write the prepared lines with their statistics; other statistics that a sample had are kept."""
    partial = Path(request["result_path"] + ".part")
    with (
        partial.open("w", encoding="utf-8", newline="") as out,
        prepared.open(encoding="utf-8", newline="\n") as lines,
        stats_path.open(encoding="utf-8", newline="\n") as stats_lines,
    ):
        originals = juicer_lines.samples(source)
        for (_, _, sample), line, stats_line in zip(originals, lines, stats_lines, strict=True):
            start, end = juicer_lines.spans(stats_line)[juicer_lines.STATS]
            stats = stats_line[start:end]
            if sample.get(juicer_lines.STATS):
                merged = {**sample[juicer_lines.STATS], **json.loads(stats)}
                stats = json.dumps(merged, ensure_ascii=False)
            out.write(juicer_lines.replace(line.rstrip("\n"), {juicer_lines.STATS: stats}) + "\n")
    partial.replace(request["result_path"])


if __name__ == "__main__":
    juicer_session.main(analyze)
