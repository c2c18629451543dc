"""Lengths, duplicates and n-gram diversity of the texts of a data set."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import ClassVar, Literal

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.hash_counts import HashCounts
from sandbox.evaluators.pool_texts import as_paths, text_batches
from sandbox.evaluators.words import WordReader, Words, clean, digest
from sandbox.job import JobScope, PositiveInt, score

_ORDERS = (1, 2, 3)
_LENGTHS = ("mean", "std", "q1", "median", "q3")


@dataclass(frozen=True, kw_only=True)
class DiversityScores:
    """Length, repetition and variety of the texts of a data set.

    Args:
        num_samples: Number of samples.
        chars_mean: Mean length in characters; ``std``, ``q1``, ``median`` and ``q3`` are standard
            deviation and quartiles.
        words_mean: The same in words.
        duplicate_fraction: Share of samples whose text came earlier in the data set.
        normalized_duplicate_fraction: The same after lower-casing, and comparing words only.
        distinct_1: Different n-grams over all n-grams, here of single words; 0 if there are none
            (Li et al. 2016, https://aclanthology.org/N16-1014).
        ngram_entropy_1: Entropy of the distribution of n-grams, in bits.
    """

    num_samples: int
    chars_mean: float
    chars_std: float
    chars_q1: float
    chars_median: float
    chars_q3: float
    words_mean: float
    words_std: float
    words_q1: float
    words_median: float
    words_q3: float
    duplicate_fraction: float = score(lower_is_better=True)
    normalized_duplicate_fraction: float = score(lower_is_better=True)
    distinct_1: float
    distinct_2: float
    distinct_3: float
    ngram_entropy_1: float
    ngram_entropy_2: float
    ngram_entropy_3: float


@dataclass(frozen=True, kw_only=True)
class TextDiversityEvaluator(BaseEvaluator):
    """Measure length, repetition and variety of the texts of a data set.

    Words are lower-cased, and n-grams do not cross samples. Data-Juicer's marks in a text
    (``<__dj__image>``) are left out. Distinct ratios fall as a data set grows: compare data sets of
    equal size, or set ``max_words``.

    Texts are read once. Hashes wait in temporary files, about 24 bytes per word, so memory hardly
    grows with the data set.

    Args:
        text_key: Key of a sample's text.
        max_words: Count n-grams on this number of words from the start, up to the end of a sample;
            ``None`` counts all.
    """

    VERSION: ClassVar[int] = 2

    text_key: str = "text"
    max_words: PositiveInt | None = None

    def run(
        self,
        eval_type: Literal["text_diversity"] | None,
        eval_obj: Path | Sequence[Path],
        *,
        scope: JobScope,
    ) -> DiversityScores:
        """Measure a pool, or several that are one data set.

        Raises:
            SampleError: A sample cannot be read, or there are none.
        """
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile(dir=scope.output_dir)) for _ in range(5)]
            counts = _Counts(self.max_words, [HashCounts(file) for file in files])
            for batch in text_batches(as_paths(eval_obj), self.text_key):
                counts.add([clean(text) for text in batch])
            return counts.scores()


class _Counts:
    """Lengths, and hashes of the texts, the normalized texts and the n-grams seen so far."""

    def __init__(self, max_words: int | None, hash_counts: Sequence[HashCounts]) -> None:
        self._reader = WordReader()
        self._num_chars, self._num_words = array("q"), array("q")
        self._texts, self._normalized, *self._ngrams = hash_counts
        self._words_left = max_words

    def add(self, batch: Sequence[str]) -> None:
        """Count some texts."""
        words = self._reader.read(batch)
        self._num_chars.extend(map(len, batch))
        self._num_words.extend(words.lengths.tolist())
        # JSON may hold halves of surrogate pairs, which strict UTF-8 refuses.
        encoded = [text.encode("utf-8", "surrogatepass") for text in batch]
        self._texts.add(np.array([digest(text) for text in encoded], np.uint64))
        self._normalized.add(words.text_digests(encoded))
        if self._words_left is not None:
            words = _beginning(words, self._words_left)
            self._words_left -= len(words.hashes)
        for order, ngrams in zip(_ORDERS, self._ngrams, strict=True):
            ngrams.add(words.ngrams(order)[0])

    def scores(self) -> DiversityScores:
        """Return the figures over all texts."""
        num_samples = len(self._num_chars)
        figures = _lengths("chars", self._num_chars) | _lengths("words", self._num_words)
        for order, ngrams in zip(_ORDERS, self._ngrams, strict=True):
            num_distinct, entropy = ngrams.summary()
            figures[f"distinct_{order}"] = num_distinct / max(ngrams.total, 1)
            figures[f"ngram_entropy_{order}"] = entropy
        return DiversityScores(
            num_samples=num_samples,
            duplicate_fraction=1 - self._texts.summary()[0] / num_samples,
            normalized_duplicate_fraction=1 - self._normalized.summary()[0] / num_samples,
            **figures,
        )


def _beginning(words: Words, num_words: int) -> Words:
    """Return the words of the first texts, up to the end of the text that reaches ``num_words``."""
    before = np.cumsum(words.lengths) - words.lengths
    lengths = words.lengths[before < num_words]
    return Words(words.hashes[: lengths.sum()], lengths)


def _lengths(unit: str, lengths: array[int]) -> dict[str, float]:
    values = np.asarray(lengths, dtype=np.float64)
    figures = (values.mean(), values.std(), *np.percentile(values, (25, 50, 75)))
    return {f"{unit}_{name}": float(figure) for name, figure in zip(_LENGTHS, figures, strict=True)}
