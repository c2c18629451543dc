"""Groups of texts that a split must not tear apart, and draws that do not depend on their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.evaluators.duplicate_search import find_near_duplicates
from sandbox.evaluators.minhash import Rows
from sandbox.evaluators.pool_texts import in_batches
from sandbox.evaluators.words import Hashes, digest, encoded, mixed

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TextGroups:
    """N texts, each as its hash, and the groups that they form.

    Args:
        digests: Hash of each text, without white space around it.
        keys: Key of each text's group, which is the smallest hash in it.
    """

    digests: Hashes
    keys: Hashes

    @property
    def is_empty(self) -> Mask:
        """Texts of white space alone."""
        mask: Mask = self.digests == digest(b"")
        return mask

    @cached_property
    def originals(self) -> Rows:
        """Number of the first equal text, for each text."""
        _, first, places = np.unique(self.digests, return_index=True, return_inverse=True)
        originals: Rows = first[places]
        return originals

    @property
    def is_copy(self) -> Mask:
        """Texts that occur before; empty ones do not count."""
        mask: Mask = (self.originals != np.arange(len(self.digests))) & ~self.is_empty
        return mask

    def drawn(self, rows: Rows, num_drawn: int, seed: int) -> Rows:
        """Return some of the rows, ascending: those whose texts have the smallest seeded hashes."""
        seeded = mixed(self.digests[rows] + np.uint64(digest(str(seed).encode())))
        return np.sort(rows[np.argsort(seeded, kind="stable")[:num_drawn]])

    def num_groups(self, rows: Rows) -> int:
        """Return the number of groups of these texts."""
        return len(np.unique(self.keys[rows]))

    def num_texts(self, rows: Rows) -> int:
        """Return the number of different texts among these."""
        return len(np.unique(self.digests[rows]))

    def is_heldout(self, rows: Rows, fraction: float) -> Mask:
        """Draw a share of all groups by their keys alone."""
        # Mixed, because the smallest of several hashes is no uniform draw.
        mask: Mask = mixed(self.keys[rows]) / 2.0**64 < fraction
        return mask


def group_texts(texts: Iterable[str], threshold: float, scratch_dir: Path) -> TextGroups:
    """Put near-duplicates, and with them equal texts, into one group."""
    digests: list[NDArray[Any]] = []

    def batches() -> Iterator[list[str]]:
        for batch in in_batches(texts):
            digests.append(np.fromiter(map(digest, encoded(batch)), np.uint64, len(batch)))
            yield batch

    found = find_near_duplicates(batches(), scratch_dir, threshold=threshold)
    every = np.concatenate(digests)
    keys = every.copy()
    for cluster in found.clusters:
        keys[cluster] = every[cluster].min()
    return TextGroups(every, keys)
