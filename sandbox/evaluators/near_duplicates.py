"""Near-duplicates in a data set, by MinHash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.minhash import (
    MinHash,
    Pair,
    RowFile,
    Rows,
    Signatures,
    band_keys,
    bands_for,
    clusters,
)
from sandbox.evaluators.pool_texts import as_paths, text_batches, write_rows
from sandbox.evaluators.words import Counts, Hashes, WordReader, Words, clean, mixed
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
    their order in the files.

    While it runs, a sample needs 4 bytes of disk per permutation and about 60 bytes of memory.

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

    text_key: str = "text"
    threshold: Annotated[float, Interval(gt=0, le=1)] = 0.7
    shingle_size: PositiveInt = 5
    shingle_unit: Literal["words", "characters"] = "words"
    num_permutations: Annotated[int, Interval(ge=1, le=4096)] = 256
    seed: int = 0

    def run(
        self,
        eval_type: Literal["near_duplicates"] | None,
        eval_obj: Path | Sequence[Path],
        *,
        scope: JobScope,
    ) -> DuplicateScores:
        """Search a pool, or several that are one data set.

        Raises:
            SampleError: A sample cannot be read.
        """
        folder = scope.output_dir
        num_bands, num_rows = bands_for(self.threshold, self.num_permutations)
        with TemporaryFile(dir=folder) as key_file, TemporaryFile(dir=folder) as signature_file:
            keys = RowFile(key_file, np.uint64, num_bands)
            signatures = RowFile(signature_file, np.uint32, self.num_permutations)
            for batch in self._signatures(as_paths(eval_obj)):
                signatures.append(batch)
                keys.append(band_keys(batch, num_bands, num_rows))
            roots, pairs = clusters(keys, signatures, num_bands, self.threshold)
        members = _members(roots)
        num_in_clusters = sum(map(len, members))
        return DuplicateScores(
            num_samples=len(roots),
            num_clusters=len(members),
            num_in_clusters=num_in_clusters,
            largest_cluster=max(map(len, members), default=1),
            duplicate_ratio=(num_in_clusters - len(members)) / len(roots),
            num_bands=num_bands,
            num_rows=num_rows,
            clusters_path=write_rows(folder / "clusters.jsonl", _cluster_rows(members)),
            pairs_path=write_rows(folder / "pairs.jsonl", _pair_rows(pairs)),
        )

    def _signatures(self, paths: Sequence[Path]) -> Iterator[Signatures]:
        minhash = MinHash(self.num_permutations, self.seed)
        reader = WordReader()
        for batch in text_batches(paths, self.text_key):
            texts = [clean(text) for text in batch]
            read = _characters if self.shingle_unit == "characters" else reader.read
            units = read(texts)
            yield minhash.signatures(*shingles(units, texts, self.shingle_size))


def shingles(units: Words, texts: Sequence[str], size: int) -> tuple[Hashes, Counts]:
    """Return the shingles of all texts in a row, and the number of each text, at least 1.

    A text of fewer than ``size`` words is one shingle; one without any is its characters.
    """
    hashes, counts = units.ngrams(size)
    is_short = counts == 0
    if not is_short.any():
        return hashes, counts
    short_units = Words(units.hashes[np.repeat(is_short, units.lengths)], units.lengths[is_short])
    short_texts = [text.encode("utf-8", "surrogatepass") for text in compress(texts, is_short)]
    # Every text needs a shingle: the minimum over none would be that of the next text.
    places = np.cumsum(counts)[is_short]
    whole = short_units.text_digests(short_texts)
    return np.insert(hashes, places, whole), np.maximum(counts, 1)


def _characters(texts: Sequence[str]) -> Words:
    """Return lower-cased characters in place of words; a run of white space is one blank."""
    lowered = [" ".join(text.lower().split()) for text in texts]
    lengths = np.fromiter(map(len, lowered), dtype=np.int64, count=len(lowered))
    points = np.frombuffer("".join(lowered).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return Words(mixed(points.astype(np.uint64) + np.uint64(1)), lengths)


def _members(roots: Rows) -> list[Rows]:
    """Return the samples of every cluster of two or more, the largest clusters first."""
    _, number, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    found = np.flatnonzero(sizes[number] > 1)
    # Sorted by cluster, and within a cluster still by number.
    found = found[np.argsort(roots[found], kind="stable")]
    groups = np.split(found, np.flatnonzero(np.diff(roots[found])) + 1) if len(found) else []
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _cluster_rows(members: Iterable[Rows]) -> Iterator[Mapping[str, Any]]:
    for samples in members:
        yield {"samples": samples.tolist()}


def _pair_rows(pairs: Iterable[Pair]) -> Iterator[Mapping[str, Any]]:
    for pair in sorted(pairs):
        first, second = sorted(pair[:2])
        yield {"first": first, "second": second, "similarity": pair.similarity}
