"""The words of texts as numbers, so that n-grams and shingles are numpy's work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

# Words of scripts that put no spaces between them count as single characters.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
_MARK = re.compile(r"<__dj__\w+>|<\|__dj__\w+\|>")
_MOST_REMEMBERED = 1 << 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def clean(text: str) -> str:
    """A text without Data-Juicer's marks (``<__dj__image>``) and the white space around it."""
    return _MARK.sub("", text).strip() if "__dj__" in text else text.strip()


def count_words(text: str) -> int:
    """Number of words of a text."""
    return len(_WORD.findall(text))


def digest(data: bytes) -> int:
    """A number of 64 bits, the same on every machine; two of a million differ but for 3 in 10⁸ cases."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Words:
    """The words of several texts.

    Args:
        hashes: All words in a row, lower-cased, each as a number.
        lengths: How many belong to each text.
    """

    hashes: Hashes
    lengths: Counts

    def ngrams(self, order: int) -> tuple[Hashes, Counts]:
        """All n-grams that lie within a text, in a row, each as a number; and how many each text has."""
        ends = np.repeat(np.cumsum(self.lengths), self.lengths)
        starts = np.flatnonzero(np.arange(len(self.hashes)) + order <= ends)
        values = self.hashes[starts]
        for offset in range(1, order):
            values = values * _FACTOR + self.hashes[starts + offset]
        return (mixed(values) if order > 1 else values), np.maximum(self.lengths - order + 1, 0)


class WordReader:
    """Splits texts into words and numbers them; remembers the numbers of the words it has met."""

    def __init__(self) -> None:
        self._numbers = _Numbers()

    def read(self, texts: Sequence[str]) -> Words:
        """The words of texts, Chinese and Japanese characters each a word of its own."""
        found = [_WORD.findall(text) for text in texts]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        numbers = map(self._numbers.__getitem__, chain.from_iterable(found))
        return Words(np.fromiter(numbers, dtype=np.uint64, count=int(lengths.sum())), lengths)


class _Numbers(dict[str, int]):
    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        number = self[word] = digest(word.lower().encode("utf-8", "surrogatepass"))
        return number


def mixed(values: NDArray[Any]) -> Hashes:
    """Numbers in which every bit depends on every bit of the given ones (the finalizer of splitmix64)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    finished: Hashes = values ^ (values >> np.uint64(31))
    return finished
