"""Coverage of the intervals of a decision, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sandbox.evaluators.paired_intervals import (
    Differences,
    Floats,
    estimate,
    half_widths,
    individual_error,
    items_needed,
    seeds_needed,
)

NUM_RUNS = 4000
# Coverage is to be 95 ± 2 %; three standard errors of a rate near 0.95 come on top.
ALLOWED = 0.02 + 3 * math.sqrt(0.95 * 0.05 / NUM_RUNS)


def draw_differences(
    num_candidates: int, num_seeds: int, num_items: int, share: float, baseline: float = 1.0
) -> Floats:
    """Draw differences of equally good pools, of shape (runs, candidates, seeds, items).

    Trainings make ``share`` of the variance of the mean; those of the baseline deviate ``baseline``
    times as much as those of the candidates.
    """
    rng = np.random.default_rng([num_candidates, num_seeds, num_items])
    pools = num_candidates + 1
    deviations = np.array([1.0] * num_candidates + [baseline]) / math.sqrt((1 + baseline**2) / 2)
    trainings = rng.standard_normal((NUM_RUNS, pools, num_seeds, 1)) * deviations[:, None, None]
    items = rng.standard_normal((NUM_RUNS, pools, 1, num_items))
    rest = rng.standard_normal((NUM_RUNS, pools, num_seeds, num_items))
    scores = 0.3 * rest
    scores += trainings * math.sqrt(share * num_seeds)
    scores += items * math.sqrt((1 - share) * num_items)
    return scores[:, :-1] - scores[:, -1:]


def wrong_decisions(differences: Floats) -> float:
    """Return the share of runs with an interval that does not hold 0, the true difference."""
    estimated = estimate(differences)
    is_wrong = np.abs(estimated.mean) > half_widths(estimated)
    return float(is_wrong.any(axis=1).mean())


@pytest.mark.parametrize("num_candidates", [1, 5], ids=["one", "five"])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("share", "baseline"),
    [(0.0, 1.0), (0.1, 1.0), (0.5, 1.0), (0.5, 2.0), (0.9, 0.5), (1.0, 1.0), (1.0, 2.0)],
    ids=["items", "mostly-items", "both", "noisy-baseline", "mostly-seeds", "seeds", "seeds-noisy"],
)
def test_five_percent_of_decisions_between_equal_pools_are_wrong(
    num_candidates: int, num_seeds: int, share: float, baseline: float
) -> None:
    differences = draw_differences(num_candidates, num_seeds, 30, share, baseline)
    assert wrong_decisions(differences) == pytest.approx(0.05, abs=ALLOWED)


@pytest.mark.slow
@pytest.mark.parametrize("num_candidates", [1, 5], ids=["one", "five"])
@pytest.mark.parametrize("num_seeds", [3, 10])
def test_coverage_holds_with_500_items(num_candidates: int, num_seeds: int) -> None:
    held = []
    for share in (0.1, 0.5, 0.9):
        differences = draw_differences(num_candidates, num_seeds, 500, share)
        held.append(1 - wrong_decisions(differences))
    assert held == pytest.approx([0.95] * 3, abs=ALLOWED)


@pytest.mark.parametrize("num_candidates", [1, 5], ids=["one", "five"])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_coverage_holds_with_one_score_a_model(num_candidates: int, num_seeds: int) -> None:
    differences = draw_differences(num_candidates, num_seeds, 1, share=1.0)
    assert wrong_decisions(differences) == pytest.approx(0.05, abs=ALLOWED)


def test_the_parts_of_the_variance_are_recovered() -> None:
    estimated = estimate(draw_differences(2, 5, 40, share=0.5))
    rest = 2 * 0.3**2 / (5 * 40)
    assert estimated.seed_variance.mean() == pytest.approx(2 * 0.5 + rest, rel=0.03)
    assert estimated.item_variance.mean() == pytest.approx(2 * 0.5, rel=0.03)
    assert estimated.rest_variance.mean() == pytest.approx(rest, rel=0.03)
    assert estimated.mean.var() == pytest.approx(estimated.variance.mean(), rel=0.06)
    assert estimated.correlation.mean() == pytest.approx(0.5, abs=0.1)


def test_the_error_rate_of_one_interval_is_dunnetts() -> None:
    # Two-sided Dunnett quantiles of normal numbers with correlation 1/2: 2.21, 2.51 (tables)
    assert individual_error(1, 0.5) == pytest.approx(0.05)
    assert individual_error(2, 0.5) == pytest.approx(math.erfc(2.21 / math.sqrt(2)), rel=0.02)
    assert individual_error(5, 0.5) == pytest.approx(math.erfc(2.51 / math.sqrt(2)), rel=0.02)
    # Without correlation it is Šidák's
    assert individual_error(5, 0.0) == pytest.approx(1 - 0.95**0.2, rel=1e-6)
    assert individual_error(5, 0.3) < individual_error(5, 0.9) < 0.05


def differences_of(
    mean: float, seed_variance: float, rest_variance: float, item_variance: float
) -> Differences:
    return Differences(
        mean=np.array([mean]),
        seed_variance=np.array([seed_variance]),
        rest_variance=np.array([rest_variance]),
        item_variance=np.array([item_variance]),
        correlation=np.array(0.0),
        num_seeds=3,
        num_items=100,
    )


def test_needed_seeds_are_the_fewest_that_would_decide() -> None:
    # t(7) · √(3/8) = 1.448 and t(8) · √(3/9) = 1.331
    estimated = differences_of(1.4, seed_variance=1.0, rest_variance=0.0, item_variance=0.0)
    assert seeds_needed(estimated, 0) == 6


def test_more_items_are_needed_where_items_make_the_noise() -> None:
    estimated = differences_of(1.5, seed_variance=0.01, rest_variance=0.01, item_variance=1.0)
    assert seeds_needed(estimated, 0) is None
    needed = items_needed(estimated, 0)
    assert needed is not None
    assert 70 < needed < 85


def test_no_number_of_seeds_or_items_decides_about_equal_pools() -> None:
    estimated = differences_of(0.0, seed_variance=1.0, rest_variance=0.0, item_variance=1.0)
    assert seeds_needed(estimated, 0) is None
    assert items_needed(estimated, 0) is None
