"""Search for near-duplicates among texts, by MinHash: the part that is no component."""

from __future__ import annotations

from collections.abc import Iterable
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


def find_near_duplicates(
    batches: Iterable[list[str]],
    scratch_dir: Path,
    *,
    threshold: float,
    shingle_size: int = 5,
    shingle_unit: Literal["words", "characters"] = "words",
    num_permutations: int = 256,
    seed: int = 0,
) -> Found:
    """Search texts, which are given in batches; signatures are in files in ``scratch_dir``.

    The settings are those of ``NearDuplicates``.
    """
    from sandbox.evaluators.minhash import MinHash, RowFile, band_keys, bands_for, clusters
    from sandbox.evaluators.words import WordReader, characters

    read = characters if shingle_unit == "characters" else WordReader().read
    minhash = MinHash(num_permutations, seed)
    num_bands, num_rows = bands_for(threshold, num_permutations)
    with (
        TemporaryFile(dir=scratch_dir) as key_file,
        TemporaryFile(dir=scratch_dir) as signature_file,
    ):
        keys = RowFile(key_file, "uint64", num_bands)
        signatures = RowFile(signature_file, "uint32", num_permutations)
        for texts in batches:
            batch = minhash.signatures(*read(texts).shingles(texts, shingle_size))
            signatures.append(batch)
            keys.append(band_keys(batch, num_bands, num_rows))
        found, pairs = clusters(keys, signatures, num_bands, threshold)
    return Found(found, pairs, keys.num_rows, num_bands, num_rows)
