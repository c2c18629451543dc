"""Tokens of captions without Java, close to those of the PTB tokenizer."""

from __future__ import annotations

import re

_REPLACEMENTS = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"[\u2018\u2019\u0060\u00b4]", "'"),
        (r"[\u201c\u201d]", '"'),
        (r"\b(can)(not)\b", r"\1 \2"),
        (r"\b(gon|wan|got)(na|ta)\b", r"\1 \2"),
        (r"([a-z])(n't)\b", r"\1 \2"),
        (r"([a-z0-9])('(?:s|m|d|re|ve|ll))\b", r"\1 \2"),
    )
]
_TOKEN = re.compile(
    r"\$?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?%?(?!\w)"
    r"|(?:[a-z]\.){2,}"
    r"|(?:mr|mrs|ms|dr|st|rd|ave|blvd|jr|sr|vs|etc|ft|inc|co|ltd|corp|mt)\.(?=\s|$|,)"
    r"|n't|'(?:s|m|d|re|ve|ll)\b"
    r"|\w+(?:[-./&']\w+)*"
    r"|[^\w\s]"
)
_PUNCTUATION = re.compile(r"[^\w$%&#@+=*<>]+")


def regex_tokens(caption: str) -> str:
    """Return lower-case tokens with blanks between them, without punctuation; may be empty."""
    text = caption.lower()
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return " ".join(token for token in _TOKEN.findall(text) if not _PUNCTUATION.fullmatch(token))
