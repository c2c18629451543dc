"""Intervals of the differences between candidates and a baseline, over new seeds and new items.

The difference of two models with the same seed on one item is d = mean + seed + item + rest, with
normal effects that are independent of each other: crossed random effects. Every candidate has its
own variances; nothing is pooled between candidates. The leading axes of all arrays are free, so
that a simulation handles many comparisons at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit

Floats = NDArray[np.float64]

LEVEL = 0.95
MAX_MORE_SEEDS = 100
MAX_ITEMS_FACTOR = 20
# In the weight of the seeds, see `_half_widths`.
_DAMPING = 0.7


@dataclass(frozen=True)
class Differences:
    """Mean differences and the parts of their variance, one number per candidate (last axis).

    Args:
        mean: Mean over seeds and items.
        seed_variance: Part that new seeds make: falls with the number of seeds. 0 for one seed,
            whose part nobody can know.
        rest_variance: Share of it that also falls with the number of items.
        item_variance: Part that new items make: falls with their number alone. 0 without items.
        correlation: Mean correlation of the differences of two candidates, 0 to 1. They share the
            baseline, so that it is 1/2 where all pools are equally noisy.
        num_seeds: Number of seeds.
        num_items: Number of items; 1 where a model has one score.
    """

    mean: Floats
    seed_variance: Floats
    rest_variance: Floats
    item_variance: Floats
    correlation: Floats
    num_seeds: int
    num_items: int

    @property
    def variance(self) -> Floats:
        """Variance of the mean differences."""
        return self.seed_variance + self.item_variance


def estimate(differences: Floats) -> Differences:
    """Estimate means and variances from differences of shape (…, candidates, seeds, items).

    The estimates come from the mean squares of a two-way analysis of variance; the part of the
    items is 0 where it would be negative.
    """
    num_seeds, num_items = differences.shape[-2:]
    by_seed, by_item = differences.mean(axis=-1), differences.mean(axis=-2)
    mean = by_seed.mean(axis=-1)
    none = np.zeros((*mean.shape, mean.shape[-1]))
    seeds = _covariance(by_seed) / num_seeds if num_seeds > 1 else none
    items = _covariance(by_item) / num_items if num_items > 1 else none
    rest = none
    if num_seeds > 1 and num_items > 1:
        residuals = differences - by_seed[..., None] - by_item[..., None, :]
        residuals += mean[..., None, None]
        flat = residuals.reshape(*mean.shape, -1)
        degrees = (num_seeds - 1) * (num_items - 1)
        rest = flat @ flat.swapaxes(-1, -2) / (degrees * num_seeds * num_items)
    seed_variance, rest_variance = _diagonal(seeds), _diagonal(rest)
    item_variance = np.maximum(_diagonal(items - rest), 0)
    return Differences(
        mean=mean,
        seed_variance=seed_variance,
        rest_variance=np.minimum(rest_variance, seed_variance),
        item_variance=item_variance,
        correlation=_mean_correlation(seeds + items - rest, seed_variance + item_variance),
        num_seeds=num_seeds,
        num_items=num_items,
    )


@cache
def individual_error(num_candidates: int, correlation: float) -> float:
    """Return the error rate of each interval with which all of them hold together at ``LEVEL``.

    This is Dunnett's (1955) allowance for comparisons with one baseline: the two-sided quantile of
    the largest of ``num_candidates`` equally correlated normal numbers.
    """
    if num_candidates == 1:
        return 1 - LEVEL
    # Given the part that they share, such numbers are independent: one integral over that part.
    correlation = min(correlation, 0.99)
    shared = np.linspace(-6, 6, 481)
    density = np.exp(-(shared**2) / 2)
    density /= density.sum()
    centre, spread = np.sqrt(correlation) * shared, np.sqrt(1 - correlation)

    def excess(quantile: float) -> float:
        inside = ndtr((quantile - centre) / spread) - ndtr((-quantile - centre) / spread)
        return float(inside**num_candidates @ density) - LEVEL

    return float(2 * ndtr(-brentq(excess, 1, 6)))


def individual_errors(estimated: Differences) -> Floats:
    """Return ``individual_error`` for each correlation, rounded to 1/100."""
    num_candidates = estimated.mean.shape[-1]
    correlations, where = np.unique(np.round(estimated.correlation, 2), return_inverse=True)
    errors = [individual_error(num_candidates, float(value)) for value in correlations]
    result: Floats = np.array(errors)[where.reshape(np.shape(estimated.correlation))]
    return result


def half_widths(estimated: Differences) -> Floats:
    """Return half the widths of the simultaneous intervals, one per candidate."""
    errors = individual_errors(estimated)[..., None]
    return _half_widths(
        estimated.seed_variance,
        estimated.item_variance,
        _squared_quantile(errors, estimated.num_seeds),
        _squared_quantile(errors, estimated.num_items),
    )


def seeds_needed(estimated: Differences, candidate: int) -> int | None:
    """Return how many more seeds would decide, with the difference and the variances as estimated.

    ``None``: ``MAX_MORE_SEEDS`` do not suffice.
    """
    more = np.arange(1, MAX_MORE_SEEDS + 1)
    seeds = estimated.num_seeds + more
    error = individual_errors(estimated)
    widths = _half_widths(
        estimated.seed_variance[candidate] * estimated.num_seeds / seeds,
        np.full(len(seeds), estimated.item_variance[candidate]),
        _squared_quantile(error, seeds),
        _squared_quantile(error, estimated.num_items),
    )
    return _first(more, widths < abs(estimated.mean[candidate]))


def items_needed(estimated: Differences, candidate: int) -> int | None:
    """Return how many more items would decide with these seeds, see :func:`seeds_needed`.

    ``None``: ``MAX_ITEMS_FACTOR`` times as many items do not suffice.
    """
    items = np.arange(estimated.num_items + 1, MAX_ITEMS_FACTOR * estimated.num_items + 1)
    factor = estimated.num_items / items
    error = individual_errors(estimated)
    rest = estimated.rest_variance[candidate]
    widths = _half_widths(
        estimated.seed_variance[candidate] - rest * (1 - factor),
        estimated.item_variance[candidate] * factor,
        _squared_quantile(error, estimated.num_seeds),
        _squared_quantile(error, items),
    )
    return _first(items - estimated.num_items, widths < abs(estimated.mean[candidate]))


def _half_widths(
    seed_variance: Floats, item_variance: Floats, seed_quantile: Floats, item_quantile: Floats
) -> Floats:
    """Combine the two parts, each with the square of its quantile of Student's distribution.

    With variance v and share w of the seeds in it, the half width is √(v (a + (b - a) g)), where a
    and b are the squared quantiles of items and seeds and g = w² / (w² + 0.7 (1 - w)). It is exact
    where one part is all of the variance. Between, no exact formula exists (Behrens and Fisher's
    problem): with 3 seeds Satterthwaite's degrees of freedom cover down to 92 % instead of 95 %,
    and the mean weighted by w (Cochran and Cox) up to 97 %; g and its 0.7 cover 95 to 96 %, and for
    the smaller error rates of several candidates they err to both sides.
    """
    variance = seed_variance + item_variance
    share = np.divide(seed_variance, variance, out=np.zeros_like(variance), where=variance > 0)
    weight = share**2 / (share**2 + _DAMPING * (1 - share))
    squared = item_quantile + (seed_quantile - item_quantile) * weight
    result: Floats = np.sqrt(variance * squared)
    return result


def _squared_quantile(error: Floats, count: int | NDArray[np.int64]) -> Floats:
    """Return the squared two-sided quantile for ``count`` observations; 0 for a single one."""
    count = np.asarray(count)
    quantile = stdtrit(np.maximum(count - 1, 1), error / 2)
    result: Floats = np.where(count > 1, quantile**2, 0.0)
    return result


def _covariance(values: Floats) -> Floats:
    centred = values - values.mean(axis=-1, keepdims=True)
    result: Floats = centred @ centred.swapaxes(-1, -2) / (values.shape[-1] - 1)
    return result


def _diagonal(matrices: Floats) -> Floats:
    return np.diagonal(matrices, axis1=-2, axis2=-1).copy()


def _mean_correlation(covariances: Floats, variances: Floats) -> Floats:
    num = variances.shape[-1]
    scale = np.sqrt(variances[..., :, None] * variances[..., None, :])
    correlations = np.divide(covariances, scale, out=np.zeros_like(scale), where=scale > 0)
    is_pair = np.triu(np.ones((num, num), dtype=bool), 1)
    mean = correlations[..., is_pair].sum(axis=-1) / max(1, is_pair.sum())
    result: Floats = np.clip(mean, 0, 1)
    return result


def _first(counts: NDArray[np.int64], is_enough: NDArray[np.bool_]) -> int | None:
    return int(counts[is_enough][0]) if is_enough.any() else None
