"""Near-duplicates in a data set, by MinHash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.minhash import MinHash, RowFile, band_keys, bands_for, clusters
from sandbox.evaluators.pool_reader import batches, check_type, pool_paths, texts
from sandbox.evaluators.words import Counts, Hashes, WordReader, Words, clean, digest, mixed
from sandbox.job import Outputs

Unit = Literal["words", "characters"]


class NearDuplicates(BaseEvaluator):
    """Find samples whose texts are nearly the same.

    A text is the set of its shingles, runs of ``shingle_size`` words or characters, lower-cased; a
    shorter text is one shingle. MinHash signatures estimate the Jaccard similarity of two sets. Only
    samples that agree in a whole band of their signatures are compared; those that reach the threshold
    are connected, and what is connected is a cluster. Samples are numbered from 0, in their order in
    the files; a cluster is named by its first sample.

    Outputs:
        num_samples: Number of samples.
        num_clusters: Clusters of two samples or more.
        num_in_clusters: Samples in them.
        largest_cluster: Samples of the largest one; 1 where there is none.
        duplicate_ratio: Share of samples that are not the first of their cluster: what keeping one of
            each would remove.
        num_bands: Bands of a signature.
        num_rows: Numbers of a band, chosen for the threshold.
        clusters_path: JSON Lines, ``{"samples": [0, 7]}``, the largest clusters first.
        pairs_path: JSON Lines, ``{"first": 0, "second": 7, "similarity": 0.82}``, estimated: the pairs that
            connect the clusters, not every pair in them.

    A sample needs 4 bytes of disk a permutation while this runs, and about 60 bytes of memory.

    Args:
        text_key: Key of a sample's text.
        threshold: Least similarity of near-duplicates.
        shingle_size: Words or characters of a shingle.
        shingle_unit: ``characters`` for short texts and languages without spaces.
        num_permutations: Length of a signature.
        seed: Seed of the permutations.

    Raises:
        ValueError: A number is out of range, or the unit is another.

    Source: Data-Juicer's document_minhash_deduplicator (same defaults, same choice of bands). Unlike
    it, similarity is checked before samples are connected, and words carry no punctuation.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "num_clusters",
        "num_in_clusters",
        "largest_cluster",
        "duplicate_ratio",
        "num_bands",
        "num_rows",
        "clusters_path",
        "pairs_path",
    )
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ("duplicate_ratio",)

    def __init__(
        self,
        text_key: str = "text",
        threshold: float = 0.7,
        shingle_size: int = 5,
        shingle_unit: Unit = "words",
        num_permutations: int = 256,
        seed: int = 0,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: {threshold} is not in (0, 1]")
        if shingle_size < 1:
            raise ValueError(f"shingle_size: {shingle_size} is not positive")
        if shingle_unit not in get_args(Unit):
            raise ValueError(
                f"shingle_unit: {shingle_unit!r}; available: {', '.join(get_args(Unit))}"
            )
        if not 1 <= num_permutations <= 4096:
            raise ValueError(f"num_permutations: {num_permutations} is not between 1 and 4096")
        self.text_key = text_key
        self.threshold = threshold
        self.shingle_size = shingle_size
        self.shingle_unit = shingle_unit
        self.num_permutations = num_permutations
        self.seed = seed

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Search ``eval_obj``: a pool, or several that are one data set.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, or a sample cannot be read.
            FileNotFoundError: A file is missing.
        """
        check_type(eval_type, "near_duplicates")
        num_bands, num_rows = bands_for(self.threshold, self.num_permutations)
        with (
            RowFile(output_dir, np.uint64, num_bands) as keys,
            RowFile(output_dir, np.uint32, self.num_permutations) as signatures,
        ):
            for some in self._signatures(pool_paths(eval_obj)):
                signatures.append(some)
                keys.append(band_keys(some, num_bands, num_rows))
            roots, pairs = clusters(keys, signatures, num_bands, self.threshold)
        members = _members(roots)
        _write(
            output_dir / "clusters.jsonl", ({"samples": cluster.tolist()} for cluster in members)
        )
        _write(
            output_dir / "pairs.jsonl",
            (
                {"first": min(a, b), "second": max(a, b), "similarity": s}
                for a, b, s in sorted(pairs)
            ),
        )
        num_in_clusters = sum(map(len, members))
        return {
            "num_samples": len(roots),
            "num_clusters": len(members),
            "num_in_clusters": num_in_clusters,
            "largest_cluster": max(map(len, members), default=1),
            "duplicate_ratio": (num_in_clusters - len(members)) / len(roots),
            "num_bands": num_bands,
            "num_rows": num_rows,
            "clusters_path": output_dir / "clusters.jsonl",
            "pairs_path": output_dir / "pairs.jsonl",
        }

    def _signatures(self, paths: Sequence[Path]) -> Iterator[np.ndarray[Any, np.dtype[np.uint32]]]:
        minhash = MinHash(self.num_permutations, self.seed)
        reader = WordReader()
        for batch in batches(texts(paths, self.text_key)):
            cleaned = [clean(text) for text in batch]
            split = (
                _characters(cleaned) if self.shingle_unit == "characters" else reader.read(cleaned)
            )
            yield minhash.signatures(*shingles(split, cleaned, self.shingle_size))


def shingles(words: Words, texts: Sequence[str], size: int) -> tuple[Hashes, Counts]:
    """All shingles of texts in a row and how many each has: at least one, a short text's is itself."""
    hashes, counts = words.ngrams(size)
    short = np.flatnonzero(counts == 0).tolist()
    if not short:
        return hashes, counts
    ends = np.cumsum(words.lengths)
    whole = [
        digest(
            words.hashes[ends[text] - words.lengths[text] : ends[text]].tobytes()
            or texts[text].encode()
        )
        for text in short
    ]
    places = np.cumsum(counts)[short]
    return np.insert(hashes, places, np.array(whole, np.uint64)), np.maximum(counts, 1)


def _characters(texts: Sequence[str]) -> Words:
    """The characters of texts, lower-cased, in place of words; white space counts as one blank."""
    lowered = [" ".join(text.lower().split()) for text in texts]
    lengths = np.fromiter(map(len, lowered), dtype=np.int64, count=len(lowered))
    points = np.frombuffer("".join(lowered).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return Words(mixed(points.astype(np.uint64) + np.uint64(1)), lengths)


def _members(
    roots: np.ndarray[Any, np.dtype[np.int64]],
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """The samples of every cluster of two or more, the largest clusters first."""
    _, number, sizes = np.unique(roots, return_inverse=True, return_counts=True)
    found = np.flatnonzero(sizes[number] > 1)
    found = found[np.argsort(roots[found], kind="stable")]
    groups = np.split(found, np.flatnonzero(np.diff(roots[found])) + 1) if len(found) else []
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
