"""Lengths, duplicates and n-gram diversity of the texts of a data set."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sandbox.evaluators import BaseEvaluator
from sandbox.job import Outputs

_ORDERS = (1, 2, 3)
_LENGTHS = ("mean", "std", "q1", "median", "q3")
# Words of scripts that put no spaces between them count as single characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_MARK = re.compile(r"<__dj__\w+>|<\|__dj__\w+\|>")


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
    Data-Juicer's marks in a text (``<__dj__image>``) are left out.

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
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ("duplicate_fraction", "normalized_duplicate_fraction")

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
        if eval_type not in (None, "text_diversity"):
            raise ValueError(f"eval_type: {eval_type!r}; available: text_diversity")
        paths = _paths(eval_obj)
        counts = _Counts(self.max_words)
        for path in paths:
            for text in _texts(path, self.text_key):
                counts.add(text)
        if not counts.num_chars:
            raise ValueError(f"no samples in {', '.join(map(str, paths))}")
        return counts.figures()


class _Counts:
    """What is kept of the texts seen so far."""

    def __init__(self, max_words: int | None) -> None:
        self.num_chars: list[int] = []
        self._num_words: list[int] = []
        self._seen: set[bytes] = set()
        self._seen_normalized: set[bytes] = set()
        self._max_words = max_words
        self._num_counted = 0
        self._ngrams: dict[int, Counter[tuple[str, ...]]] = {order: Counter() for order in _ORDERS}

    def add(self, text: str) -> None:
        """Count one text."""
        text = _MARK.sub("", text).strip()
        words = [word.lower() for word in _WORD.findall(text)]
        self.num_chars.append(len(text))
        self._num_words.append(len(words))
        self._seen.add(_digest(text))
        self._seen_normalized.add(_digest(" ".join(words) or text))
        if self._max_words is None or self._num_counted < self._max_words:
            self._num_counted += len(words)
            for order, counter in self._ngrams.items():
                counter.update(zip(*(islice(words, first, None) for first in range(order)), strict=False))

    def figures(self) -> dict[str, float]:
        """The figures over all texts."""
        num_samples = len(self.num_chars)
        figures: dict[str, float] = {"num_samples": num_samples}
        figures |= _lengths("chars", self.num_chars) | _lengths("words", self._num_words)
        figures["duplicate_fraction"] = 1 - len(self._seen) / num_samples
        figures["normalized_duplicate_fraction"] = 1 - len(self._seen_normalized) / num_samples
        for order, counter in self._ngrams.items():
            total = counter.total()
            figures[f"distinct_{order}"] = len(counter) / total if total else 0.0
            figures[f"ngram_entropy_{order}"] = _entropy(counter)
        return {name: figures[name] for name in TextDiversityEvaluator.OUTPUTS}


def _paths(eval_obj: Any) -> list[Path]:
    paths = [eval_obj] if isinstance(eval_obj, (str, Path)) else eval_obj
    if (
        not isinstance(paths, Sequence)
        or not paths
        or not all(isinstance(path, (str, Path)) for path in paths)
    ):
        raise ValueError(f"eval_obj: expected the path of a JSON Lines file, or several, not {eval_obj!r}")
    return [Path(path) for path in paths]


def _texts(path: Path, text_key: str) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                sample = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
            text = sample.get(text_key) if isinstance(sample, dict) else None
            if not isinstance(text, str):
                keys = ", ".join(sample) if isinstance(sample, dict) else "none"
                raise ValueError(f"{path}, line {number} has no text under {text_key!r}; keys: {keys}")
            yield text


def _lengths(what: str, lengths: Sequence[int]) -> dict[str, float]:
    values = np.asarray(lengths, dtype=np.float64)
    figures = (values.mean(), values.std(), *np.percentile(values, (25, 50, 75)))
    return {f"{what}_{name}": float(figure) for name, figure in zip(_LENGTHS, figures, strict=True)}


def _entropy(counter: Counter[tuple[str, ...]]) -> float:
    """Shannon entropy of an n-gram, in bits; 0 for none."""
    if not counter:
        return 0.0
    shares = np.fromiter(counter.values(), dtype=np.float64) / counter.total()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
