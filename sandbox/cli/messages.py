"""Messages of the command line: without secrets, and no longer than people read.

Imports nothing of ours: a message may be that one of our modules cannot be imported.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

_LOGIN = re.compile(r"(://)[^/\s@]+@")
_STARS = "***"
SECRET_NAMES = ("api_key", "token", "password", "passwd", "secret", "credentials")
"""Ends of the names of arguments and variables that hold secrets."""

_SHORTEST = 4  # shorter texts occur everywhere
_LONGEST_LINE = 600
_MOST_LINES = 60


def brief(text: str) -> str:
    """Return a text whose long lines are cut in the middle, and whose many lines are cut too."""
    lines = [_cut(line) for line in text.splitlines()]
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        lines[half:-half] = [f"… ({len(lines) - 2 * half} more lines)"]
    return "\n".join(lines)


def _cut(line: str) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} … ({len(line) - 2 * half} more characters) … {line[-half:]}"


def masked(text: str, words: Sequence[str]) -> str:
    """Return ``text`` without the secrets among the words of the command line.

    Messages about a command that cannot be composed repeat it, before any class is known: words
    count as secret by the names of their keys, misspelt ones too.
    """
    for secret in sorted(_typed_secrets(words), key=len, reverse=True):
        text = text.replace(secret, _STARS)
    return _LOGIN.sub(rf"\1{_STARS}@", text)


def _typed_secrets(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        key, _, value = word.partition("=")
        name = key.rpartition(".")[2].lstrip("+~")
        is_secret = name.endswith(SECRET_NAMES) or difflib.get_close_matches(
            name, SECRET_NAMES, 1, 0.8
        )
        for part in [value, *re.split(r"[,()\[\]]", value)] if is_secret else ():
            bare = part.strip(" '\"")
            if len(bare) >= _SHORTEST and not bare.startswith("${"):
                yield bare
