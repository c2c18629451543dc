"""Distance between two data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_texts import DataSet, as_paths, text_batches
from sandbox.job import JobScope, score

if TYPE_CHECKING:
    from sandbox.evaluators.hash_counts import HashCounts
    from sandbox.evaluators.statistic_columns import Columns, Floats

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

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("scipy",)}

    reference_path: Path
    statistics: Sequence[str] | None = None
    text_key: str = "text"

    def run(
        self, eval_type: Literal["pool_distance"] | None, eval_obj: DataSet, *, scope: JobScope
    ) -> DistanceScores:
        """Compare a data set with the reference.

        Raises:
            ValueError: A statistic does not exist or is not numeric.
        """
        import numpy as np

        from sandbox.evaluators.hash_counts import open_counts
        from sandbox.evaluators.statistic_columns import read_columns

        paths, reference_paths = as_paths(eval_obj), [self.reference_path]
        columns = read_columns(paths, self.statistics, self.text_key)
        reference = read_columns(reference_paths, self.statistics, self.text_key)
        distances = _statistic_distances(columns, reference)
        names = {*columns.values, *reference.values, *columns.left_out, *reference.left_out}
        with open_counts(scope.output_dir, 4) as counts:
            self._count_ngrams(paths, counts[:2])
            self._count_ngrams(reference_paths, counts[2:])
            unigrams, bigrams = map(js_divergence, counts[:2], counts[2:])
        return DistanceScores(
            num_samples=columns.num_samples,
            num_reference=reference.num_samples,
            js_divergence_1=unigrams,
            js_divergence_2=bigrams,
            mean_ks=float(np.mean([distance["ks"] for distance in distances.values()])),
            statistics=distances,
            left_out=sorted(names - set(distances)),
        )

    def _count_ngrams(self, paths: Sequence[Path], counts: Sequence[HashCounts]) -> None:
        from sandbox.evaluators.words import WordReader

        reader = WordReader()
        for texts in text_batches(paths, self.text_key):
            words = reader.read(texts)
            for order, ngrams in enumerate(counts, start=1):
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
    import numpy as np
    from scipy.special import rel_entr

    if not first.total or not second.total:
        return float(first.total != second.total)
    # scipy's jensenshannon needs both distributions in memory at once; these come part by part.
    num_parts = max(first.num_parts, second.num_parts)
    nats = 0.0
    for ours, theirs in zip(first.counts(num_parts), second.counts(num_parts), strict=True):
        union = np.union1d(ours[0], theirs[0])
        p, q = np.zeros((2, len(union)))
        p[np.searchsorted(union, ours[0])] = ours[1] / first.total
        q[np.searchsorted(union, theirs[0])] = theirs[1] / second.total
        m = (p + q) / 2
        nats += float((rel_entr(p, m) + rel_entr(q, m)).sum()) / 2
    # Rounding may leave the range by 10⁻¹⁶.
    return min(max(nats / float(np.log(2)), 0.0), 1.0)


def _statistic_distances(columns: Columns, reference: Columns) -> dict[str, Distance]:
    distances = {}
    for name in [name for name in columns.values if name in reference.values]:
        sample, other = columns.finite(name), reference.finite(name)
        if len(sample) and len(other):
            distances[name] = sample_distance(sample, other)
    return distances
