"""Run Data-Juicer's Analyzer: statistics of every sample, and their summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import juicer_lines
import juicer_session
import juicer_stats
from worker_start import InputError


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Analyze the data set and write its lines with the statistics of each."""
    request["recipe"].pop("executor_type", None)
    with juicer_session.data_set(request) as (dataset_path, num_samples):
        export_path = Path(request["work_dir"]) / "analyzed.jsonl"
        config = juicer_session.configure(request, dataset_path, export_path=str(export_path))
        from data_juicer.core import analyzer as module

        module.Exporter = _Nothing  # it would round the statistics to ten digits
        if not request["plots"]:
            module.ColumnWiseAnalysis = module.CorrelationAnalysis = _Nothing
        analyzer = module.Analyzer(config)
        analyzed = analyzer.run(skip_export=not request["plots"])
        if analyzer.overall_result is None:
            raise InputError("recipe: no operator of it computes statistics; it needs a filter")
        if len(analyzed) != num_samples:
            raise InputError(f"{num_samples} samples went in, {len(analyzed)} came out")
        analysis_dir = Path(analyzer.analysis_path)
        analyzer.overall_result.to_csv(analysis_dir / "overall.csv")
        _write(dataset_path, _statistics(analyzed), request)
    return {
        "analysis_dir": str(analysis_dir),
        "statistics": juicer_stats.summary(analyzer.overall_result),
    }


class _Nothing:
    """Stands in for the export, and for the analyses that only draw, which takes longer than statistics."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def analyze(self, **kwargs: Any) -> None:
        """Draw nothing."""

    def export(self, dataset: Any) -> None:
        """Write nothing."""


def _statistics(analyzed: Any) -> Iterator[Mapping[str, Any]]:
    column = analyzed.select_columns([juicer_lines.STATS])
    for batch in column.iter(batch_size=1000):
        yield from batch[juicer_lines.STATS]


def _write(
    prepared: Path, statistics: Iterator[Mapping[str, Any]], request: dict[str, Any]
) -> None:
    partial = Path(request["result_path"] + ".part")
    originals = juicer_stats.originals(Path(request["dataset_path"]))
    with (
        partial.open("w", encoding="utf-8", newline="") as out,
        prepared.open(encoding="utf-8", newline="\n") as lines,
    ):
        out.writelines(juicer_stats.joined(originals, lines, statistics))
    partial.replace(request["result_path"])


if __name__ == "__main__":
    juicer_session.start(main)
