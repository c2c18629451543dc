"""Search for near-duplicates among texts, by MinHash: the part that is no component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from annotated_types import Interval

if TYPE_CHECKING:
    from sandbox.evaluators.minhash import Pair, Rows

Similarity = Annotated[float, Interval(gt=0, le=1)]
"""Jaccard similarity from which on two texts are near-duplicates."""


class Found(NamedTuple):
    """Near-duplicates among texts, which are numbered from 0."""

    clusters: list[Rows]
    pairs: list[Pair]
    num_texts: int
    num_bands: int
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class DuplicateSearch:
    """Settings of a search; see ``NearDuplicates``, which has the same."""

    threshold: float = 0.7
    shingle_size: int = 5
    shingle_unit: Literal["words", "characters"] = "words"
    num_permutations: int = 256
    seed: int = 0

    def find(self, batches: Iterable[list[str]], scratch_dir: Path) -> Found:
        """Search texts, which are given in batches; signatures are in files in ``scratch_dir``."""
        from sandbox.evaluators.minhash import MinHash, RowFile, band_keys, bands_for, clusters
        from sandbox.evaluators.words import WordReader, characters

        read = characters if self.shingle_unit == "characters" else WordReader().read
        minhash = MinHash(self.num_permutations, self.seed)
        num_bands, num_rows = bands_for(self.threshold, self.num_permutations)
        with (
            TemporaryFile(dir=scratch_dir) as key_file,
            TemporaryFile(dir=scratch_dir) as signature_file,
        ):
            keys = RowFile(key_file, "uint64", num_bands)
            signatures = RowFile(signature_file, "uint32", self.num_permutations)
            for texts in batches:
                batch = minhash.signatures(*read(texts).shingles(texts, self.shingle_size))
                signatures.append(batch)
                keys.append(band_keys(batch, num_bands, num_rows))
            found, pairs = clusters(keys, signatures, num_bands, self.threshold)
        return Found(found, pairs, keys.num_rows, num_bands, num_rows)
