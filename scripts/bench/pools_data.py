"""The data that the pool benchmark runs on: generated, in blocks, by seed alone.

A row has about 530 bytes: a text of made-up words, a picture, a ``meta`` and ten statistics (seven
numbers, two lists of numbers, one string) under ``__dj__stats__``. A million rows take a few
seconds.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROW = (
    '{"text": "row %d: %s", "images": ["/data/img/%06d.jpg"], "meta": {"src": "made", "id": %d}, '
    '"__dj__stats__": {"text_len": %d, "num_words": %d, "alnum_ratio": %.10f, '
    '"special_char_ratio": %.10f, "avg_line_length": %.6f, "char_rep_ratio": %.10f, '
    '"word_rep_ratio": %.10f, "image_width": [%d], "aspect_ratios": [%.6f, %.6f], "lang": "%s"}}\n'
)
RATIOS = ("alnum_ratio", "special_char_ratio", "char_rep_ratio", "word_rep_ratio")
LANGUAGES = ("en", "zh", "fr", "de")
SYLLABLES = ("ka", "lo", "mi", "tur", "est", "é", "ση", "数据", "in", "ve", "\\n", "\\u00e9", '\\"')
BLOCK = 1 << 16


def write_rows(path: Path, num_rows: int, seed: int = 0) -> None:
    """Write the data set that construction splits; one block of rows is in memory at a time."""
    with path.open("w", encoding="utf-8", buffering=1 << 22, newline="\n") as file:
        for rows, _ in _blocks(num_rows, seed):
            file.writelines(rows)


def write_pools(folder: Path, num_rows: int, statistics: Sequence[str], seed: int = 0) -> None:
    """Write a pool per statistic (see `RATIOS`): the rows above 2/3 there, a third of them all.

    Any two share a third of their rows, in another order: each block is sorted by the pool's
    statistic.
    """
    with contextlib.ExitStack() as files:
        pools = {
            name: files.enter_context(
                (folder / f"data_{name}_high.jsonl").open("w", 1 << 22, "utf-8", newline="\n")
            )
            for name in statistics
        }
        for rows, ratios in _blocks(num_rows, seed):
            for name, pool in pools.items():
                column = ratios[name]
                order = sorted(range(len(rows)), key=column.__getitem__)
                pool.writelines(rows[number] for number in order if column[number] > 2 / 3)


def _blocks(num_rows: int, seed: int) -> Iterator[tuple[list[str], dict[str, list[float]]]]:
    """Yield blocks of lines, with the values of the statistics that are uniform in 0 to 1."""
    import numpy

    generator = numpy.random.default_rng(seed)
    texts = _texts(seed)
    lengths = [(len(text), text.count(" ") + 1) for text in texts]
    for start in range(0, num_rows, BLOCK):
        numbers = range(start, min(start + BLOCK, num_rows))
        size = len(numbers)
        text = generator.integers(0, len(texts), size).tolist()
        ratios = {name: generator.random(size).tolist() for name in RATIOS}
        line = generator.lognormal(3, 1, size).tolist()
        width = generator.integers(64, 4096, size).tolist()
        language = generator.integers(0, len(LANGUAGES), size).tolist()
        columns = zip(numbers, text, *ratios.values(), line, width, language, strict=True)
        yield (
            [
                ROW
                % (
                    n,
                    texts[t],
                    n % 1_000_003,
                    n,
                    *lengths[t],
                    a,
                    b,
                    mean,
                    c,
                    d,
                    w,
                    w / 777,
                    a + b,
                    LANGUAGES[s],
                )
                for n, t, a, b, c, d, mean, w, s in columns
            ],
            ratios,
        )


def write_prompts(path: Path, num_rows: int) -> None:
    """Write the left side of a join: about 130 bytes a row."""
    rows = (
        {
            "text": f"What does picture {n} show? Answer in one sentence, without guessing.",
            "meta": {"src": "made", "id": n},
        }
        for n in range(num_rows)
    )
    _write(path, rows)


def write_pictures(path: Path, num_rows: int) -> None:
    """Write the right side of a join, with other keys than the left: about 120 bytes a row."""
    rows = (
        {
            "images": [f"/data/img/{n:06d}.jpg"],
            "caption": f"A scene with {n % 97} people and {n % 89} trees.",
            "size": [64 + n % 4000, 64 + n % 3000],
        }
        for n in range(num_rows)
    )
    _write(path, rows)


def _write(path: Path, rows: Any) -> None:
    with path.open("w", encoding="utf-8", buffering=1 << 22, newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _texts(seed: int, num_texts: int = 5000, num_syllables: int = 47) -> list[str]:
    """Return texts as they are spelled between the quotes of a JSON string."""
    choose = random.Random(seed)
    return [
        "".join(
            choose.choice(SYLLABLES) + " " * (choose.random() < 0.3) for _ in range(num_syllables)
        )
        for _ in range(num_texts)
    ]
