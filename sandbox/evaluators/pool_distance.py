"""How far two data sets are from each other."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.hash_counts import HashCounts
from sandbox.evaluators.pool_reader import batches, check_type, pool_paths, texts
from sandbox.evaluators.statistic_columns import Columns, Floats, read_columns
from sandbox.evaluators.words import WordReader, clean
from sandbox.job import Outputs

_ORDERS = (1, 2)


class PoolDistance(BaseEvaluator):
    """Measure the distance between a data set and a reference: by statistics, and by the words used.

    All figures are 0 for equal distributions. Two samples of one distribution are a little apart, the
    more the smaller they are (n-grams above all): compare pools of equal size.

    Outputs:
        num_samples: Samples of the data set.
        num_reference: Samples of the reference.
        js_divergence_1: Jensen–Shannon divergence of the distributions of words, in bits: 0 to 1, where
            no word is shared. Words are lower-cased.
        js_divergence_2: The same of pairs of neighbouring words.
        mean_ks: Mean of ``ks`` over the statistics.
        statistics: By statistic (those of both under ``__dj__stats__``, and the lengths ``chars`` and
            ``words`` of the texts): ``wasserstein``, the Wasserstein-1 distance in the statistic's unit;
            ``wasserstein_scaled``, the same in standard deviations of the reference, ``None`` where that
            has none; ``ks``, the Kolmogorov–Smirnov distance, the largest difference of the cumulative
            distributions, 0 to 1. Missing values are left out.
        left_out: Statistics that only one of the two has, or that are not numeric.

    Temporary files take 16 bytes a word, memory 8 bytes a number.

    Args:
        reference_path: The data set to compare with.
        statistics: The statistics to compare, beside the lengths; ``None`` takes all numeric ones that
            both have.
        text_key: Key of a sample's text, in both.

    Raises:
        ValueError: ``statistics`` is no list.

    Source: closed forms for one dimension, as in scipy.stats (``wasserstein_distance``, ``ks_2samp``); Lin
    1991 for the divergence (https://doi.org/10.1109/18.61115).
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "num_reference",
        *(f"js_divergence_{order}" for order in _ORDERS),
        "mean_ks",
        "statistics",
        "left_out",
    )
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ("js_divergence_1", "js_divergence_2", "mean_ks")

    def __init__(
        self, reference_path: Path, statistics: Sequence[str] | None = None, text_key: str = "text"
    ) -> None:
        if isinstance(statistics, str):
            raise ValueError(f"statistics: expected a list of names, got {statistics!r}")
        self.reference_path = reference_path
        self.statistics = statistics
        self.text_key = text_key

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Compare ``eval_obj``, a pool or several that are one data set, with the reference.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, a sample cannot be read, or a
                statistic is not there or not numeric.
            FileNotFoundError: A file is missing.
        """
        check_type(eval_type, "pool_distance")
        paths = pool_paths(eval_obj)
        columns = read_columns(paths, self.statistics, self.text_key)
        reference = read_columns([self.reference_path], self.statistics, self.text_key)
        statistics = _statistic_distances(columns, reference)
        names = {*columns.values, *reference.values, *columns.left_out, *reference.left_out}
        return {
            "num_samples": columns.num_samples,
            "num_reference": reference.num_samples,
            **self._divergences(paths, output_dir),
            "mean_ks": float(np.mean([figures["ks"] for figures in statistics.values()])),
            "statistics": statistics,
            "left_out": sorted(names - set(statistics)),
        }

    def _divergences(self, paths: Sequence[Path], folder: Path) -> dict[str, float]:
        with contextlib.ExitStack() as stack:
            counted = [
                self._ngrams(some, [stack.enter_context(HashCounts(folder)) for _ in _ORDERS])
                for some in (paths, [self.reference_path])
            ]
            return {
                f"js_divergence_{order}": js_divergence(*both)
                for order, *both in zip(_ORDERS, *counted, strict=True)
            }

    def _ngrams(self, paths: Sequence[Path], counts: list[HashCounts]) -> list[HashCounts]:
        reader = WordReader()
        for batch in batches(texts(paths, self.text_key)):
            words = reader.read([clean(text) for text in batch])
            for order, ngrams in zip(_ORDERS, counts, strict=True):
                ngrams.add(words.ngrams(order)[0])
        return counts


def wasserstein(one: Floats, other: Floats) -> float:
    """Wasserstein-1 distance of two samples: the area between their cumulative distributions."""
    points, shares = _cumulative(one, other)
    return float((np.abs(shares[0] - shares[1])[:-1] * np.diff(points)).sum())


def kolmogorov_smirnov(one: Floats, other: Floats) -> float:
    """The largest difference between the cumulative distributions of two samples."""
    _, shares = _cumulative(one, other)
    return float(np.abs(shares[0] - shares[1]).max())


def js_divergence(one: HashCounts, other: HashCounts) -> float:
    """Jensen–Shannon divergence of two distributions of counts, in bits; 0 where both are empty.

    It is the sum over all things of (p log p/m + q log q/m) / 2 with m = (p + q) / 2.
    """
    if not one.total or not other.total:
        return float(bool(one.total or other.total))
    num_parts = max(one.num_parts, other.num_parts)
    divergence = 0.0
    for (things, counts), (others, other_counts) in zip(
        one.counts(num_parts), other.counts(num_parts), strict=True
    ):
        union = np.union1d(things, others)
        p, q = np.zeros(len(union)), np.zeros(len(union))
        p[np.searchsorted(union, things)] = counts / one.total
        q[np.searchsorted(union, others)] = other_counts / other.total
        divergence += (_kl_terms(p, (p + q) / 2) + _kl_terms(q, (p + q) / 2)) / 2
    return min(max(divergence, 0.0), 1.0)


def _kl_terms(p: Floats, m: Floats) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / m[there])).sum())


def _cumulative(one: Floats, other: Floats) -> tuple[Floats, list[NDArray[np.float64]]]:
    """All values in order, and for each sample the share of it that is not above each value."""
    samples = [np.sort(one), np.sort(other)]
    points = np.sort(np.concatenate(samples))
    return points, [
        np.searchsorted(sample, points, side="right") / len(sample) for sample in samples
    ]


def _statistic_distances(
    columns: Columns, reference: Columns
) -> dict[str, dict[str, float | None]]:
    distances: dict[str, dict[str, float | None]] = {}
    for name in columns.values:
        if name not in reference.values:
            continue
        one, other = (
            values[np.isfinite(values)] for values in (columns.values[name], reference.values[name])
        )
        if len(one) and len(other):
            distance, std = wasserstein(one, other), float(other.std())
            distances[name] = {
                "wasserstein": distance,
                "wasserstein_scaled": distance / std if std > 0 else None,
                "ks": kolmogorov_smirnov(one, other),
            }
    return distances
