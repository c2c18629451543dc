"""The part of METEOR's paraphrase table that can match some references."""

from __future__ import annotations

import gzip
import string
from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOCK_BYTES = 1024 * 1024
_WORD_BYTES = (string.ascii_lowercase + string.digits).encode()
# ASCII letters and digits in lower case, line ends, and blanks for everything else.
_PLAIN = bytes(
    byte if byte in _WORD_BYTES + b"\n" else ord(" ") for byte in bytes(range(256)).lower()
)


def write_paraphrases(table_path: Path, texts: Iterable[str], path: Path) -> None:
    """Write the entries of a paraphrase table that can match one of ``texts``.

    A match puts one side of an entry against words of a text, the other against any caption: an
    entry stays if the words of one side all occur in ``texts``. Words are compared by their ASCII
    letters and digits only, so METEOR's own handling of punctuation can make no difference.

    An entry is three lines: probability, phrase, paraphrase. Measured: 4 to 7 CPU seconds; METEOR
    then starts in 0.3 instead of 11 for a vocabulary of 30 words.
    """
    words = frozenset("\n".join(texts).lower().encode().translate(_PLAIN).split())
    with gzip.open(path, "wb", compresslevel=1) as output:
        for block in _entry_blocks(table_path):
            output.writelines(_matching_entries(block, words))


def _entry_blocks(table_path: Path) -> Iterator[bytes]:
    """Yield the table in pieces of whole entries, each without its last line end."""
    rest = b""
    with gzip.open(table_path) as table:
        while piece := table.read(_BLOCK_BYTES):
            block = rest + piece
            end = len(block)
            # Back to the last line end that leaves a multiple of three lines before it.
            for _ in range(block.count(b"\n") % 3 + 1):
                end = block.rfind(b"\n", 0, end)
            rest = block[end + 1 :]
            if end > 0:
                yield block[:end]


def _matching_entries(block: bytes, words: frozenset[bytes]) -> Iterator[bytes]:
    lines = block.split(b"\n")
    plain = block.translate(_PLAIN).split(b"\n")
    phrase, matches = None, False
    for start in range(0, len(lines), 3):
        # A phrase has many entries in a row.
        if plain[start + 1] != phrase:
            phrase = plain[start + 1]
            matches = words.issuperset(phrase.split())
        if matches or words.issuperset(plain[start + 2].split()):
            yield b"%s\n%s\n%s\n" % tuple(lines[start : start + 3])
