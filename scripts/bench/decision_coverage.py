"""Coverage of the intervals of `evaluator=decision` and its rate of wrong decisions, by simulation.

    python scripts/bench/decision_coverage.py            # 3,000 runs a row, two CPU minutes
    python scripts/bench/decision_coverage.py --quick    # 500 runs a row

Every run has five candidates and a baseline that are equally good, so that an interval covers the
truth if it holds 0, and a decision is wrong if it is made. The score of a model is the sum of

- an effect of its pool on each item, the same for all seeds,
- an effect of its training, the same for all items,
- a rest of its own on each item, as large as the effect of the pool.

A row names the share of the trainings in the variance of the mean difference, how the trainings of
the baseline vary in comparison with those of the candidates, and the shape of the effects on items.
`one` is the coverage of an interval of one candidate; `five` that of all five intervals at once;
`wrong` the share of runs in which any of the five is called better or worse. At last, for
comparison: a percentile bootstrap over seeds and items, for one candidate.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.paired_intervals import estimate, half_widths

NUM_CANDIDATES = 5
SEEDS = (3, 5, 10)
ITEMS = (30, 100, 500)
NUM_RESAMPLES = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Noise of the models.

    Args:
        share: Share of the trainings in the variance of the mean difference, 0 to 1.
        baseline: Deviation of the baseline's trainings over that of the candidates'.
        paired: Correlation of the trainings with one seed.
        is_skewed: Effects on items follow an exponential distribution, not a normal one; the
            candidates' are larger.
    """

    share: float
    baseline: float = 1.0
    paired: float = 0.0
    is_skewed: bool = False

    def __str__(self) -> str:
        more = f", paired {self.paired:g}" if self.paired else ""
        shape = ", skewed items" if self.is_skewed else ""
        return f"trainings {self.share:4.0%}, baseline × {self.baseline:g}{more}{shape}"

    def scores(
        self, num_runs: int, num_seeds: int, num_items: int, rng: np.random.Generator
    ) -> Floats:
        """Draw scores of the shape (runs, pools, seeds, items); the baseline comes last."""
        pools = NUM_CANDIDATES + 1
        variance_of_items = 1 / num_items + 1 / (num_items * num_seeds)
        if self.share < 1:
            variance = variance_of_items * self.share / (1 - self.share) * num_seeds
        else:
            variance = 100.0
        ratios = np.array([1.0] * NUM_CANDIDATES + [self.baseline])
        deviation = ratios * np.sqrt(variance * 2 / (1 + self.baseline**2) / (1 - self.paired))
        own = rng.standard_normal((num_runs, pools, num_seeds))
        common = rng.standard_normal((num_runs, 1, num_seeds))
        training = np.sqrt(1 - self.paired) * own + np.sqrt(self.paired) * common
        if self.is_skewed:
            sizes = np.array([1.2] * NUM_CANDIDATES + [0.75])[:, None]
            items = (rng.exponential(size=(num_runs, pools, num_items)) - 1) * sizes
        else:
            items = rng.standard_normal((num_runs, pools, num_items))
        scores = rng.standard_normal((num_runs, pools, num_seeds, num_items))
        scores += items[:, :, None, :] + (training * deviation[:, None])[..., None]
        return scores


NOISES = (
    *map(Noise, (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)),
    *itertools.starmap(Noise, itertools.product((0.25, 0.5, 0.9, 1.0), (0.5, 2.0))),
    Noise(0.5, paired=0.8),
    Noise(0.0, is_skewed=True),
    Noise(0.5, is_skewed=True),
)


def covered(differences: Floats) -> NDArray[np.bool_]:
    """Return for (runs, candidates, seeds, items) if the simultaneous intervals hold 0."""
    estimated = estimate(differences)
    held: NDArray[np.bool_] = np.abs(estimated.mean) <= half_widths(estimated)
    return held


def coverage(
    noise: Noise, num_seeds: int, num_items: int, num_runs: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the coverage of one interval alone and of five at once."""
    one, five = [], []
    for size in batches(num_runs, num_seeds * num_items):
        scores = noise.scores(size, num_seeds, num_items, rng)
        differences = scores[:, :-1] - scores[:, -1:]
        one.append(covered(differences.reshape(-1, 1, num_seeds, num_items)).ravel())
        five.append(covered(differences).all(axis=1))
    return float(np.concatenate(one).mean()), float(np.concatenate(five).mean())


def batches(num_runs: int, num_scores: int) -> Iterator[int]:
    """Yield numbers of runs that have some 200,000 scores of a pool together."""
    size = max(1, 200_000 // num_scores)
    for start in range(0, num_runs, size):
        yield min(size, num_runs - start)


def bootstrap_coverage(
    noise: Noise, num_seeds: int, num_items: int, num_runs: int, rng: np.random.Generator
) -> float:
    """Return the coverage of the 2.5 % and 97.5 % quantiles of resampled mean differences."""
    held = []
    for _ in range(num_runs):
        scores = noise.scores(1, num_seeds, num_items, rng)[0]
        difference = scores[0] - scores[-1]
        seeds = rng.multinomial(num_seeds, [1 / num_seeds] * num_seeds, NUM_RESAMPLES)
        items = rng.multinomial(num_items, [1 / num_items] * num_items, NUM_RESAMPLES)
        means = ((seeds @ difference) * items).sum(axis=1)
        lower, upper = np.quantile(means, (0.025, 0.975))
        held.append(lower <= 0 <= upper)
    return float(np.mean(held))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    num_runs = 500 if parser.parse_args().quick else 3_000
    rng = np.random.default_rng(0)
    print(f"{num_runs} runs a row\n\n| noise | seeds | items | one | five | wrong |")
    print("|---" * 6 + "|")
    rows = []
    for noise, num_seeds, num_items in itertools.product(NOISES, SEEDS, ITEMS):
        one, five = coverage(noise, num_seeds, num_items, num_runs, rng)
        rows.append((one, five))
        place = f"| {noise} | {num_seeds} | {num_items} |"
        print(f"{place} {one:.1%} | {five:.1%} | {1 - five:.1%} |", flush=True)
    lowest, highest = np.min(rows, axis=0), np.max(rows, axis=0)
    print(f"\none: {lowest[0]:.1%} to {highest[0]:.1%}; five: {lowest[1]:.1%} to {highest[1]:.1%}")
    for num_seeds in SEEDS:
        held = bootstrap_coverage(Noise(1.0), num_seeds, 100, num_runs // 5, rng)
        print(f"percentile bootstrap, trainings alone, {num_seeds} seeds: {held:.0%}")


if __name__ == "__main__":
    main()
