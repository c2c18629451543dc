"""Lengths, duplicates and n-gram diversity of the texts of a data set."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_texts import DataSet, as_paths, text_batches
from sandbox.job import JobScope, PositiveInt, score

if TYPE_CHECKING:
    from sandbox.evaluators.hash_counts import HashCounts

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
    equal size, or set ``max_words``. Hashes wait in temporary files, about 24 bytes per word, so
    memory hardly grows with the data set.

    Args:
        text_key: Key of a sample's text.
        max_words: Count n-grams on this number of words from the start, up to the end of a sample;
            ``None`` counts all.
    """

    VERSION: ClassVar[int] = 2

    text_key: str = "text"
    max_words: PositiveInt | None = None

    def run(
        self, eval_type: Literal["text_diversity"] | None, eval_obj: DataSet, *, scope: JobScope
    ) -> DiversityScores:
        """Measure a data set."""
        from sandbox.evaluators.hash_counts import open_counts

        with open_counts(scope.output_dir, 5) as counts:
            num_chars, num_words = self._count(eval_obj, counts)
            figures = _lengths("chars", num_chars) | _lengths("words", num_words)
            texts, normalized, *ngrams = counts
            for order, each in enumerate(ngrams, start=1):
                num_distinct, entropy = each.summary()
                figures[f"distinct_{order}"] = num_distinct / max(each.total, 1)
                figures[f"ngram_entropy_{order}"] = entropy
            return DiversityScores(
                num_samples=texts.total,
                duplicate_fraction=1 - texts.summary()[0] / texts.total,
                normalized_duplicate_fraction=1 - normalized.summary()[0] / texts.total,
                **figures,
            )

    def _count(self, data_set: DataSet, counts: Sequence[HashCounts]) -> list[array[int]]:
        """Count texts, normalized texts and n-grams; return lengths in characters and in words."""
        import numpy as np

        from sandbox.evaluators.words import WordReader, digest, encoded

        texts, normalized, *ngrams = counts
        num_chars, num_words = array("q"), array("q")
        reader, words_left = WordReader(), self.max_words
        for batch in text_batches(as_paths(data_set), self.text_key):
            words = reader.read(batch)
            num_chars.extend(map(len, batch))
            num_words.extend(words.lengths.tolist())
            contents = encoded(batch)
            texts.add(np.array(list(map(digest, contents)), np.uint64))
            normalized.add(words.text_digests(contents))
            if words_left is not None:
                words = words.beginning(words_left)
                words_left -= len(words.hashes)
            for order, each in enumerate(ngrams, start=1):
                each.add(words.ngrams(order)[0])
        return [num_chars, num_words]


def _lengths(unit: str, lengths: array[int]) -> dict[str, float]:
    import numpy as np

    values = np.asarray(lengths, dtype=np.float64)
    figures = (values.mean(), values.std(), *np.percentile(values, (25, 50, 75)))
    return {f"{unit}_{name}": float(figure) for name, figure in zip(_LENGTHS, figures, strict=True)}
