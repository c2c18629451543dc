"""Worker: count pairs of verb and direct object in texts, with a parser of spaCy.

Request: ``model_path``, ``texts_path`` (JSON Lines with the texts under ``text``), ``first_sentence``.
Result: ``pairs``, ``[[verb, noun, count], …]``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker_start import InputError, start

_MOST_CHARS = 10_000
_REPORT_S = 10.0
_OBJECTS = ("dobj", "obj")


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Count the pairs of all texts."""
    model = _load(given["model_path"])
    counts: Counter[tuple[str, str]] = Counter()
    reported = time.monotonic()
    for number, parsed in enumerate(model.pipe(_texts(given["texts_path"])), start=1):
        pair = _first_pair(parsed, given["first_sentence"])
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
    except Exception as error:  # whatever spaCy makes of a broken folder
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{model_path}: spaCy cannot load it: {reason}") from None
    if "parser" not in model.pipe_names:
        there = ", ".join(model.pipe_names) or "nothing"
        raise InputError(f"{model_path} has no dependency parser; its pipeline has: {there}")
    return model


def _texts(path: str) -> Iterator[str]:
    """The texts' beginnings: a first sentence does not lie further on, and the parser's memory is spared."""
    with Path(path).open(encoding="ascii") as lines:
        for line in lines:
            yield json.loads(line)["text"][:_MOST_CHARS].strip()


def _first_pair(parsed: Any, first_sentence: bool) -> tuple[str, str] | None:
    for sentence in parsed.sents:
        pair = _pair(sentence.root)
        if pair or first_sentence:
            return pair
    return None


def _pair(root: Any) -> tuple[str, str] | None:
    """The verb nearest to the root, level by level, and its object; ``None`` where it has no noun for one."""
    level = [root]
    while level:
        for token in level:
            if token.pos_ == "VERB":
                nouns = [
                    each for each in token.children if each.dep_ in _OBJECTS and each.pos_ == "NOUN"
                ]
                return (_lemma(token), _lemma(nouns[0])) if nouns else None
        level = [child for token in level for child in token.children]
    return None


def _lemma(token: Any) -> str:
    return str(token.lemma_ or token.text).lower()


if __name__ == "__main__":
    start(main)
