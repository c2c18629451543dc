"""Worker: count pairs of verb and direct object in texts, with a parser of spaCy.

Request: ``model_path``, ``texts_path`` (a pool with the texts under ``text``), ``first_sentence``.
Result: ``pairs``, ``[[verb, noun, count], …]``.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sample_files import texts
from worker_start import InputError, start

_MOST_CHARS = 10_000
_REPORT_S = 10.0
_OBJECTS = ("dobj", "obj")


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Count the pairs of all texts."""
    model = _load(request["model_path"])
    counts: Counter[tuple[str, str]] = Counter()
    reported = time.monotonic()
    beginnings = (
        # No first sentence is longer, and the parser's memory grows with the text.
        text[:_MOST_CHARS].strip()
        for text in texts([Path(request["texts_path"])], "text")
    )
    for number, parsed in enumerate(model.pipe(beginnings), start=1):
        pair = _first_pair(parsed, request["first_sentence"])
        if pair:
            counts[pair] += 1
        if time.monotonic() - reported > _REPORT_S:
            reported = time.monotonic()
            print(f"{number} texts parsed", flush=True)
    return {"pairs": [[*pair, count] for pair, count in counts.items()]}


def _load(model_path: str) -> Any:
    import spacy

    try:
        model = spacy.load(model_path, exclude=["ner"])
    except Exception as error:  # a broken folder raises errors of many kinds
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{model_path}: spaCy cannot load it: {reason}") from None
    if "parser" not in model.pipe_names:
        parts = ", ".join(model.pipe_names) or "nothing"
        raise InputError(f"{model_path} has no dependency parser; its pipeline has: {parts}")
    return model


def _first_pair(parsed: Any, first_sentence: bool) -> tuple[str, str] | None:
    for sentence in parsed.sents:
        pair = _pair(sentence.root)
        if pair or first_sentence:
            return pair
    return None


def _pair(root: Any) -> tuple[str, str] | None:
    """Return the verb nearest to the root and its object, or ``None`` if that is no noun."""
    level = [root]
    while level:
        for token in level:
            if token.pos_ == "VERB":
                nouns = [each for each in token.children if _is_object(each)]
                return (_lemma(token), _lemma(nouns[0])) if nouns else None
        level = [*itertools.chain.from_iterable(token.children for token in level)]
    return None


def _is_object(token: Any) -> bool:
    return token.dep_ in _OBJECTS and token.pos_ == "NOUN"


def _lemma(token: Any) -> str:
    return str(token.lemma_ or token.text).lower()


if __name__ == "__main__":
    start(main)
