"""Lengths, duplicates and n-gram diversity of the texts of a data set."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.hash_counts import HashCounts, summarize
from sandbox.evaluators.pool_reader import batches, check_type, pool_paths, texts
from sandbox.evaluators.words import WordReader, Words, clean, digest
from sandbox.job import Outputs

_ORDERS = (1, 2, 3)
_LENGTHS = ("mean", "std", "q1", "median", "q3")


class TextDiversityEvaluator(BaseEvaluator):
    """Describe the texts of a data set: how long, how repetitive, how varied they are.

    - ``num_samples``; ``chars_…`` and ``words_…``: mean, standard deviation, quartiles ``q1``,
      ``median``, ``q3`` of the lengths in characters and words.
    - ``duplicate_fraction``: share of samples whose text stands earlier in the data set;
      ``normalized_duplicate_fraction``: the same after lower-casing and leaving out everything but words.
    - ``distinct_1`` … ``distinct_3``: different n-grams over all n-grams (Li et al. 2016,
      https://aclanthology.org/N16-1014), and ``ngram_entropy_1`` … ``_3`` in bits. Words are lower-cased;
      n-grams do not cross samples; 0 where there are none.

    Distinct ratios fall as a data set grows: compare data sets of equal size, or set ``max_words``.
    Data-Juicer's marks in a text (``<__dj__image>``) are left out. Texts are read once; what is counted
    waits in temporary files, about 24 bytes a word, so that memory hardly grows with the data set.

    Args:
        text_key: Key of a sample's text.
        max_words: Number of words, from the start, that the n-gram figures are counted on, up to the
            end of a sample; ``None`` is all.

    Raises:
        ValueError: ``max_words`` is not positive.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        *(f"chars_{name}" for name in _LENGTHS),
        *(f"words_{name}" for name in _LENGTHS),
        "duplicate_fraction",
        "normalized_duplicate_fraction",
        *(f"distinct_{order}" for order in _ORDERS),
        *(f"ngram_entropy_{order}" for order in _ORDERS),
    )
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = (
        "duplicate_fraction",
        "normalized_duplicate_fraction",
    )
    VERSION: ClassVar[int] = 2

    def __init__(self, text_key: str = "text", max_words: int | None = None) -> None:
        if max_words is not None and max_words <= 0:
            raise ValueError(f"max_words: {max_words} is not positive")
        self.text_key = text_key
        self.max_words = max_words

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Describe ``eval_obj``: a JSON Lines file, or several that are one data set.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, the data set is empty, or a line
                is not JSON or has no text.
            FileNotFoundError: A file is missing.
        """
        check_type(eval_type, "text_diversity")
        paths = pool_paths(eval_obj)
        with contextlib.ExitStack() as stack:
            counts = _Counts(self.max_words, output_dir, stack)
            for batch in batches(texts(paths, self.text_key)):
                counts.add([clean(text) for text in batch])
            return counts.figures()


class _Counts:
    """What is kept of the texts seen so far; hashes wait in files."""

    def __init__(self, max_words: int | None, folder: Path, stack: contextlib.ExitStack) -> None:
        self._reader = WordReader()
        self._num_chars, self._num_words = array("q"), array("q")
        self._texts = stack.enter_context(HashCounts(folder))
        self._normalized = stack.enter_context(HashCounts(folder))
        self._ngrams = {order: stack.enter_context(HashCounts(folder)) for order in _ORDERS}
        self._words_left = max_words

    def add(self, batch: Sequence[str]) -> None:
        """Count some texts."""
        words = self._reader.read(batch)
        self._num_chars.extend(map(len, batch))
        self._num_words.extend(words.lengths.tolist())
        encoded = [text.encode("utf-8", "surrogatepass") for text in batch]
        self._texts.add(np.array([digest(text) for text in encoded], np.uint64))
        self._normalized.add(_normalized(encoded, words))
        self._count_ngrams(words)

    def figures(self) -> dict[str, float]:
        """The figures over all texts."""
        num_samples = len(self._num_chars)
        figures: dict[str, float] = {"num_samples": num_samples}
        figures |= _lengths("chars", self._num_chars) | _lengths("words", self._num_words)
        figures["duplicate_fraction"] = 1 - summarize(self._texts)[0] / num_samples
        figures["normalized_duplicate_fraction"] = 1 - summarize(self._normalized)[0] / num_samples
        for order, ngrams in self._ngrams.items():
            num_distinct, entropy = summarize(ngrams)
            figures[f"distinct_{order}"] = num_distinct / ngrams.total if ngrams.total else 0.0
            figures[f"ngram_entropy_{order}"] = entropy
        return {name: figures[name] for name in TextDiversityEvaluator.OUTPUTS}

    def _count_ngrams(self, words: Words) -> None:
        if self._words_left is not None:
            before = np.cumsum(words.lengths) - words.lengths
            words = Words(words.hashes, words.lengths[before < self._words_left])
            words = Words(words.hashes[: words.lengths.sum()], words.lengths)
            self._words_left -= len(words.hashes)
        for order, ngrams in self._ngrams.items():
            ngrams.add(words.ngrams(order)[0])


def _normalized(encoded: Sequence[bytes], words: Words) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A hash of each text's words; of the text itself where it has none."""
    ends = np.cumsum(words.lengths).tolist()
    starts = [0, *ends[:-1]]
    parts = (words.hashes[start:end].tobytes() for start, end in zip(starts, ends, strict=True))
    return np.array(
        [digest(part or text) for part, text in zip(parts, encoded, strict=True)], np.uint64
    )


def _lengths(what: str, lengths: array[int]) -> dict[str, float]:
    values = np.asarray(lengths, dtype=np.float64)
    figures = (values.mean(), values.std(), *np.percentile(values, (25, 50, 75)))
    return {f"{what}_{name}": float(figure) for name, figure in zip(_LENGTHS, figures, strict=True)}
