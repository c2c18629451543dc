"""Distance between two data sets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.hash_counts import HashCounts
from sandbox.evaluators.pool_texts import as_paths, text_batches
from sandbox.evaluators.statistic_columns import Columns, Floats, read_columns
from sandbox.evaluators.words import WordReader, clean
from sandbox.job import JobScope, score

_ORDERS = (1, 2)

Distance = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class DistanceScores:
    """Distances of a data set from a reference; all are 0 for equal distributions.

    Args:
        num_samples: Samples of the data set.
        num_reference: Samples of the reference.
        js_divergence_1: Jensen–Shannon divergence of the distributions of lower-cased words, in
            bits; 1 if no word is shared.
        js_divergence_2: The same for pairs of neighbouring words.
        mean_ks: Mean of ``ks`` over the statistics.
        statistics: Distances by statistic, of those that both data sets have and of the text
            lengths ``chars`` and ``words``: ``wasserstein``, the Wasserstein-1 distance in the unit
            of the statistic; ``wasserstein_scaled``, the same in standard deviations of the
            reference (``None`` if that is 0); ``ks``, the Kolmogorov–Smirnov distance, 0 to 1.
            Missing values are left out.
        left_out: Statistics that only one of the two has, or that are not numeric.
    """

    num_samples: int
    num_reference: int
    js_divergence_1: float = score(lower_is_better=True)
    js_divergence_2: float = score(lower_is_better=True)
    mean_ks: float = score(lower_is_better=True)
    statistics: Mapping[str, Distance]
    left_out: list[str]


@dataclass(frozen=True, kw_only=True)
class PoolDistance(BaseEvaluator):
    """Measure the distance of a data set from a reference, by statistics and by words.

    Two random samples of one distribution have a small distance, which grows as they get smaller
    (above all for n-grams): compare pools of equal size. Temporary files take 16 bytes per word;
    a number takes 8 bytes of memory, and 130 more while its statistic is compared.

    Args:
        reference_path: The data set to compare with.
        statistics: Names of the statistics to compare, besides the lengths; ``None`` takes all
            numeric ones that both have.
        text_key: Key of a sample's text, in both.

    Source: scipy.stats (``wasserstein_distance``, ``ks_2samp``); Lin 1991 for the divergence
    (https://doi.org/10.1109/18.61115).
    """

    reference_path: Path
    statistics: Sequence[str] | None = None
    text_key: str = "text"

    @staticmethod
    def check() -> None:
        """Raise ValueError if scipy is missing."""
        if find_spec("scipy") is None:
            raise ValueError("scipy is not installed; pip install 'sandbox[data]'")

    def run(
        self,
        eval_type: Literal["pool_distance"] | None,
        eval_obj: Path | Sequence[Path],
        *,
        scope: JobScope,
    ) -> DistanceScores:
        """Compare a pool, or several that are one data set, with the reference.

        Raises:
            SampleError: A sample cannot be read.
            ValueError: A statistic does not exist or is not numeric.
        """
        paths = as_paths(eval_obj)
        columns = read_columns(paths, self.statistics, self.text_key)
        reference = read_columns([self.reference_path], self.statistics, self.text_key)
        distances = _statistic_distances(columns, reference)
        names = {*columns.values, *reference.values, *columns.left_out, *reference.left_out}
        unigrams, bigrams = self._divergences(paths, scope.output_dir)
        return DistanceScores(
            num_samples=columns.num_samples,
            num_reference=reference.num_samples,
            js_divergence_1=unigrams,
            js_divergence_2=bigrams,
            mean_ks=float(np.mean([distance["ks"] for distance in distances.values()])),
            statistics=distances,
            left_out=sorted(names - set(distances)),
        )

    def _divergences(self, paths: Sequence[Path], folder: Path) -> list[float]:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile(dir=folder)) for _ in range(4)]
            counts = [HashCounts(file) for file in files]
            self._count_ngrams(paths, counts[:2])
            self._count_ngrams([self.reference_path], counts[2:])
            return [js_divergence(counts[0], counts[2]), js_divergence(counts[1], counts[3])]

    def _count_ngrams(self, paths: Sequence[Path], counts: Sequence[HashCounts]) -> None:
        reader = WordReader()
        for batch in text_batches(paths, self.text_key):
            words = reader.read([clean(text) for text in batch])
            for order, ngrams in zip(_ORDERS, counts, strict=True):
                ngrams.add(words.ngrams(order)[0])


def sample_distance(sample: Floats, reference: Floats) -> Distance:
    """Compare two samples of one number: ``wasserstein``, ``wasserstein_scaled``, ``ks``."""
    from scipy.stats import ks_2samp, wasserstein_distance

    distance, std = float(wasserstein_distance(sample, reference)), float(reference.std())
    return {
        "wasserstein": distance,
        # Without a spread of the reference there is no scale; infinity would not be JSON.
        "wasserstein_scaled": distance / std if std > 0 else None,
        "ks": float(ks_2samp(sample, reference).statistic),
    }


def js_divergence(first: HashCounts, second: HashCounts) -> float:
    """Return the Jensen–Shannon divergence of two distributions in bits; 0 if both are empty.

    It is the sum over all things of (p log p/m + q log q/m) / 2 with m = (p + q) / 2.
    """
    from scipy.special import rel_entr

    if not first.total or not second.total:
        return float(first.total != second.total)
    # scipy's jensenshannon needs both distributions in memory at once; these come part by part.
    num_parts = max(first.num_parts, second.num_parts)
    nats = 0.0
    for part, other_part in zip(first.counts(num_parts), second.counts(num_parts), strict=True):
        union = np.union1d(part[0], other_part[0])
        p, q = np.zeros(len(union)), np.zeros(len(union))
        p[np.searchsorted(union, part[0])] = part[1] / first.total
        q[np.searchsorted(union, other_part[0])] = other_part[1] / second.total
        m = (p + q) / 2
        nats += float((rel_entr(p, m) + rel_entr(q, m)).sum()) / 2
    # Rounding may leave the range by 10⁻¹⁶.
    return min(max(nats / float(np.log(2)), 0.0), 1.0)


def _statistic_distances(columns: Columns, reference: Columns) -> dict[str, Distance]:
    distances: dict[str, Distance] = {}
    for name in columns.values:
        if name not in reference.values:
            continue
        sample, other = columns.finite(name), reference.finite(name)
        if len(sample) and len(other):
            distances[name] = sample_distance(sample, other)
    return distances
