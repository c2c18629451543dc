"""Distributions of text lengths and statistics in a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_texts import DataSet, as_paths
from sandbox.job import JobScope, PositiveInt

_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """Distributions of the statistics of a data set.

    Args:
        num_samples: Number of samples.
        statistics: By statistic ``count``, ``mean``, ``std``, ``min``, ``q05``, ``q25``,
            ``median``, ``q75``, ``q95`` and ``max`` of its finite values, and ``missing``, the
            number of samples without a value.
        left_out: Statistics that are not numeric.
        histograms_path: JSON, ``{statistic: {edges, counts}}``: bins of equal width from the
            smallest value to the largest; the last bin includes both its edges.
    """

    num_samples: int
    statistics: Mapping[str, Mapping[str, float]]
    left_out: list[str]
    histograms_path: Path


@dataclass(frozen=True, kw_only=True)
class StatisticDistributions(BaseEvaluator):
    """Describe the distribution of every statistic of a data set, and of its text lengths.

    Statistics are those under ``__dj__stats__``; a list of numbers counts as its mean. ``chars``
    and ``words`` are the lengths of the texts, without Data-Juicer's marks. A number takes 8 bytes
    of memory while this runs.

    Args:
        statistics: Names of the statistics to describe, besides the lengths; ``None`` takes all
            numeric ones.
        text_key: Key of a sample's text; ``None`` leaves the lengths out.
        num_bins: Bins per histogram.
    """

    statistics: Sequence[str] | None = None
    text_key: str | None = "text"
    num_bins: PositiveInt = 50

    def run(
        self,
        eval_type: Literal["statistic_distributions"] | None,
        eval_obj: DataSet,
        *,
        scope: JobScope,
    ) -> Distributions:
        """Describe a data set.

        Raises:
            ValueError: A statistic does not exist or is not numeric.
        """
        import numpy as np

        from sandbox.evaluators.statistic_columns import read_columns

        columns = read_columns(as_paths(eval_obj), self.statistics, self.text_key)
        statistics, histograms = {}, {}
        for name, values in columns.values.items():
            finite = columns.finite(name)
            if len(finite) == 0:
                continue
            quantiles = np.quantile(finite, list(_QUANTILES.values())).tolist()
            statistics[name] = {
                "count": len(finite),
                "missing": int(np.isnan(values).sum()),
                "mean": float(finite.mean()),
                "std": float(finite.std()),
                "min": float(finite.min()),
                **dict(zip(_QUANTILES, quantiles, strict=True)),
                "max": float(finite.max()),
            }
            counts, edges = np.histogram(finite, self.num_bins)
            histograms[name] = {"edges": edges.tolist(), "counts": counts.tolist()}
        histograms_path = scope.output_dir / "histograms.json"
        histograms_path.write_text(json.dumps(histograms), encoding="utf-8")
        return Distributions(
            num_samples=columns.num_samples,
            statistics=statistics,
            left_out=columns.left_out,
            histograms_path=histograms_path,
        )
