"""Words of texts as numbers, so that numpy counts n-grams and shingles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

# Scripts without spaces between words: every character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
_MAX_REMEMBERED = 1 << 20
# Odd, 2⁶⁴ over the golden ratio: the order of words within an n-gram counts.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def count_words(text: str) -> int:
    """Return the number of words of a text."""
    return len(_WORD.findall(text))


def digest(data: bytes) -> int:
    """Hash bytes to 64 bits, the same on every machine.

    Among a million different inputs two collide with probability 3 in 10⁸.
    """
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Words:
    """Words of several texts.

    Args:
        hashes: All words in a row, lower-cased and hashed.
        lengths: Number of words of each text.
    """

    hashes: Hashes
    lengths: Counts

    def beginning(self, num_words: int) -> Words:
        """Return the first texts, up to the end of the one that reaches ``num_words``."""
        before = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[before < num_words]
        return Words(self.hashes[: lengths.sum()], lengths)

    def ngrams(self, order: int) -> tuple[Hashes, Counts]:
        """Return hashes of all n-grams within texts, and their number in each text."""
        ends = np.repeat(np.cumsum(self.lengths), self.lengths)
        starts = np.flatnonzero(np.arange(len(self.hashes)) + order <= ends)
        values = self.hashes[starts]
        for offset in range(1, order):
            values = values * _FACTOR + self.hashes[starts + offset]
        return (mixed(values) if order > 1 else values), np.maximum(self.lengths - order + 1, 0)

    def shingles(self, texts: Sequence[str], size: int) -> tuple[Hashes, Counts]:
        """Return the n-grams of ``size`` words, and the number in each text, at least 1.

        A text of fewer words is one shingle; one without any is its characters in ``texts``.
        """
        hashes, counts = self.ngrams(size)
        is_short = counts == 0
        if not is_short.any():
            return hashes, counts
        short = Words(self.hashes[np.repeat(is_short, self.lengths)], self.lengths[is_short])
        # Every text needs a shingle: the minimum over none would be that of the next text.
        places = np.cumsum(counts)[is_short]
        whole = short.text_digests(encoded(compress(texts, is_short)))
        return np.insert(hashes, places, whole), np.maximum(counts, 1)

    def text_digests(self, fallbacks: Sequence[bytes]) -> Hashes:
        """Return one hash per text, of its words, or of its fallback if it has none."""
        ends = np.cumsum(self.lengths).tolist()
        spans = zip(pairwise([0, *ends]), fallbacks, strict=True)
        contents = [self.hashes[start:end].tobytes() or other for (start, end), other in spans]
        return np.array(list(map(digest, contents)), np.uint64)


class WordReader:
    """Splits texts into words and hashes them; remembers the hashes of words it has met."""

    def __init__(self) -> None:
        self._hashes = _WordHashes()

    def read(self, texts: Sequence[str]) -> Words:
        """Return the words of texts; a Chinese or Japanese character is a word."""
        found = [_WORD.findall(text) for text in texts]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        hashes = map(self._hashes.__getitem__, chain.from_iterable(found))
        return Words(np.fromiter(hashes, dtype=np.uint64, count=int(lengths.sum())), lengths)


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        # Words of a real text repeat; a pool of random strings must not fill the memory.
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        number = self[word] = digest(word.lower().encode("utf-8", "surrogatepass"))
        return number


def characters(texts: Sequence[str]) -> Words:
    """Return lower-cased characters in place of words; a run of white space is one blank."""
    lowered = [" ".join(text.lower().split()) for text in texts]
    lengths = np.fromiter(map(len, lowered), dtype=np.int64, count=len(lowered))
    points = np.frombuffer("".join(lowered).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return Words(mixed(points.astype(np.uint64) + np.uint64(1)), lengths)


def encoded(texts: Iterable[str]) -> list[bytes]:
    """Encode texts, also those with halves of surrogate pairs, which JSON may hold."""
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def mixed(values: NDArray[Any]) -> Hashes:
    """Spread numbers over 64 bits, so that each output bit depends on each input bit.

    Source: the finalizer of splitmix64.
    """
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    finished: Hashes = values ^ (values >> np.uint64(31))
    return finished
