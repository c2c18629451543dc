"""Near-duplicates in a data set, by MinHash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.duplicate_search import Similarity, find_near_duplicates
from sandbox.evaluators.pool_texts import DataSet, as_paths, text_batches, write_rows
from sandbox.job import JobScope, PositiveInt, score


@dataclass(frozen=True, kw_only=True)
class DuplicateScores:
    """Near-duplicates of a data set.

    Args:
        num_samples: Number of samples.
        num_clusters: Clusters of two samples or more.
        num_in_clusters: Samples in these clusters.
        largest_cluster: Samples of the largest cluster; 1 if there is none.
        duplicate_ratio: Share of samples that are not the first of their cluster. Keeping one
            sample of each cluster removes this share.
        num_bands: Bands of a signature.
        num_rows: Numbers per band, chosen for the threshold.
        clusters_path: JSON Lines, ``{"samples": [0, 7]}``, the largest clusters first.
        pairs_path: JSON Lines, ``{"first": 0, "second": 7, "similarity": 0.82}`` with estimated
            similarity: the pairs that connect the clusters, not every pair inside them.
    """

    num_samples: int
    num_clusters: int
    num_in_clusters: int
    largest_cluster: int
    duplicate_ratio: float = score(lower_is_better=True)
    num_bands: int
    num_rows: int
    clusters_path: Path
    pairs_path: Path


@dataclass(frozen=True, kw_only=True)
class NearDuplicates(BaseEvaluator):
    """Find samples whose texts are nearly the same.

    A text is the set of its shingles, runs of ``shingle_size`` words or characters, lower-cased; a
    shorter text is one shingle. MinHash signatures estimate the Jaccard similarity of two sets.
    Only samples that agree in a whole band of their signatures are compared. Those that reach the
    threshold are connected, and connected samples form a cluster. Samples are numbered from 0, in
    their order in the files; the clusters do not depend on that order. A sample takes 4 bytes of
    disk per permutation and about 70 bytes of memory while this runs.

    Args:
        text_key: Key of a sample's text.
        threshold: Lowest similarity of near-duplicates, above 0.
        shingle_size: Words or characters per shingle.
        shingle_unit: ``characters`` suits short texts and languages without spaces.
        num_permutations: Length of a signature.
        seed: Seed of the permutations.

    Source: Data-Juicer's document_minhash_deduplicator (same defaults, same choice of bands).
    Unlike it, similarity is checked before samples are connected, and words carry no punctuation.
    """

    VERSION: ClassVar[int] = 2

    text_key: str = "text"
    threshold: Similarity = 0.7
    shingle_size: PositiveInt = 5
    shingle_unit: Literal["words", "characters"] = "words"
    num_permutations: Annotated[int, Interval(ge=1, le=4096)] = 256
    seed: int = 0

    def run(
        self, eval_type: Literal["near_duplicates"] | None, eval_obj: DataSet, *, scope: JobScope
    ) -> DuplicateScores:
        """Search a data set."""
        folder = scope.output_dir
        found = find_near_duplicates(
            text_batches(as_paths(eval_obj), self.text_key),
            folder,
            threshold=self.threshold,
            shingle_size=self.shingle_size,
            shingle_unit=self.shingle_unit,
            num_permutations=self.num_permutations,
            seed=self.seed,
        )
        num_in_clusters = sum(map(len, found.clusters))
        cluster_rows = ({"samples": samples.tolist()} for samples in found.clusters)
        pair_rows = (pair._asdict() for pair in sorted(found.pairs))
        return DuplicateScores(
            num_samples=found.num_texts,
            num_clusters=len(found.clusters),
            num_in_clusters=num_in_clusters,
            largest_cluster=max(map(len, found.clusters), default=1),
            duplicate_ratio=(num_in_clusters - len(found.clusters)) / found.num_texts,
            num_bands=found.num_bands,
            num_rows=found.num_rows,
            clusters_path=write_rows(folder / "clusters.jsonl", cluster_rows),
            pairs_path=write_rows(folder / "pairs.jsonl", pair_rows),
        )
