"""How lengths and statistics are distributed in a data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_reader import check_type, pool_paths
from sandbox.evaluators.statistic_columns import Floats, read_columns
from sandbox.job import Outputs

_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


class StatisticDistributions(BaseEvaluator):
    """Describe the distribution of every statistic of a data set, and of the lengths of its texts.

    Statistics are those under ``__dj__stats__``; lists of numbers count by their mean. ``chars`` and
    ``words`` are the lengths of the texts, without Data-Juicer's marks.

    Outputs:
        num_samples: Number of samples.
        statistics: ``{statistic: {count, missing, mean, std, min, q05, q25, median, q75, q95, max}}``
            of its finite values; ``missing`` counts samples that have none.
        left_out: Statistics that are not numeric.
        histograms_path: JSON, ``{statistic: {edges, counts}}``: ``num_bins`` bins of equal width from the
            smallest value to the largest; the last one holds both its edges.

    A number takes 8 bytes of memory while this runs.

    Args:
        statistics: The statistics to describe, beside the lengths; ``None`` takes all numeric ones.
        text_key: Key of a sample's text; ``None`` leaves the lengths out.
        num_bins: Bins of a histogram.

    Raises:
        ValueError: ``num_bins`` is not positive, or ``statistics`` no list.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "statistics",
        "left_out",
        "histograms_path",
    )

    def __init__(
        self,
        statistics: Sequence[str] | None = None,
        text_key: str | None = "text",
        num_bins: int = 50,
    ) -> None:
        if isinstance(statistics, str):
            raise ValueError(f"statistics: expected a list of names, got {statistics!r}")
        if num_bins < 1:
            raise ValueError(f"num_bins: {num_bins} is not positive")
        self.statistics = statistics
        self.text_key = text_key
        self.num_bins = num_bins

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Describe ``eval_obj``: a pool, or several that are one data set.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, a sample cannot be read, or a
                statistic is not there or not numeric.
            FileNotFoundError: A file is missing.
        """
        check_type(eval_type, "statistic_distributions")
        columns = read_columns(pool_paths(eval_obj), self.statistics, self.text_key)
        figures, histograms = {}, {}
        for name, values in columns.values.items():
            finite = values[np.isfinite(values)]
            if len(finite):
                missing = int(np.isnan(values).sum())
                figures[name] = {"count": len(finite), "missing": missing, **_figures(finite)}
                counts, edges = np.histogram(finite, self.num_bins)
                histograms[name] = {"edges": edges.tolist(), "counts": counts.tolist()}
        histograms_path = output_dir / "histograms.json"
        histograms_path.write_text(json.dumps(histograms), encoding="utf-8")
        return {
            "num_samples": columns.num_samples,
            "statistics": figures,
            "left_out": columns.left_out,
            "histograms_path": histograms_path,
        }


def _figures(values: Floats) -> dict[str, float]:
    quantiles = zip(
        _QUANTILES, np.quantile(values, list(_QUANTILES.values())).tolist(), strict=True
    )
    figures = {"mean": values.mean(), "std": values.std(), "min": values.min(), **dict(quantiles)}
    return {name: float(value) for name, value in {**figures, "max": values.max()}.items()}
