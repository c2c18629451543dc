"""Worker: run Data-Juicer's Analyzer, for the statistics of every sample and their summary.

Request: ``dataset_path``, ``recipe``, ``num_proc``, ``output_dir``, ``result_path`` (written),
``shared_dir`` or null, ``plots``. Result: ``analysis_dir``, ``statistics``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import juicer_session
import juicer_stats
from sample_files import STATS
from worker_start import InputError

preload = juicer_session.preload


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Analyze the data set and write its lines with the statistics of each."""
    request["recipe"].pop("executor_type", None)
    with juicer_session.data_set(request) as data:
        export_path = Path(request["work_dir"]) / "analyzed.jsonl"
        config = juicer_session.configure(request, data.path, export_path=str(export_path))
        from data_juicer.core import analyzer as module

        module.Exporter = _Nothing  # the real one would round the statistics to ten digits
        if not request["plots"]:
            module.ColumnWiseAnalysis = module.CorrelationAnalysis = _Nothing
        analyzer = module.Analyzer(config)
        analyzed = analyzer.run(skip_export=not request["plots"])
        if analyzer.overall_result is None:
            raise InputError(juicer_session.NO_FILTER)
        if len(analyzed) != data.num_samples:
            raise InputError(f"{data.num_samples} samples went in, {len(analyzed)} came out")
        analysis_dir = Path(analyzer.analysis_path)
        analyzer.overall_result.to_csv(analysis_dir / "overall.csv")
        _write(data, _statistics(analyzed), Path(request["result_path"]))
    return {
        "analysis_dir": str(analysis_dir),
        "statistics": juicer_stats.summary(analyzer.overall_result),
    }


class _Nothing:
    """Stand-in for the export, and for analyses that only draw, which take most of the time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def analyze(self, **kwargs: Any) -> None:
        """Draw nothing."""

    def export(self, dataset: Any) -> None:
        """Write nothing."""


def _statistics(analyzed: Any) -> Iterator[Mapping[str, Any]]:
    for batch in analyzed.select_columns([STATS]).iter(batch_size=1000):
        yield from batch[STATS]


def _write(
    data: juicer_session.PreparedData, statistics: Iterator[Mapping[str, Any]], result_path: Path
) -> None:
    partial = result_path.with_name(f"{result_path.name}.part")
    with (
        partial.open("w", encoding="utf-8", newline="") as out,
        data.path.open(encoding="utf-8", newline="\n") as lines,
        data.given_stats.open(encoding="utf-8") as given,
    ):
        out.writelines(juicer_stats.joined(lines, given, statistics))
    partial.replace(result_path)


if __name__ == "__main__":
    juicer_session.start(main)
