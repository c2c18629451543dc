"""A folder of pictures with captions in one table, or in a text file beside each picture."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from sandbox.datasets import CAPTION_OUTPUTS, CaptionedImage, listing, picture_size, write_splits
from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
_TABLE_SUFFIXES = (".jsonl", ".csv")

Captions = dict[str, list[str]]
"""Captions by file name."""


class ImageFolder(BaseDataExecutor):
    """Take the pictures of a folder, with subfolders, and split them at random.

    Captions stand in a table, JSON Lines or CSV with a column for the picture's path relative to ``root`` and
    one for the caption (several rows of a picture are several references), or in ``picture.txt`` beside
    ``picture.jpg``, one caption a line. The warm-up pictures are drawn from the training pictures.

    Args:
        root: The folder.
        captions_file: The table, relative to ``root``; ``None`` takes the one ``.jsonl`` or ``.csv`` file
            directly in ``root``, or the text files where there is none.
        image_column: Column of the picture.
        caption_column: Column of the caption.
        selection_fraction: Fraction of the pictures that choices are made on.
        report_fraction: Fraction that results are reported on; the others are training pictures.
        warmup_fraction: Fraction of the training pictures that are warm-up pictures as well.
        seed: Seed of the split.

    Raises:
        ValueError: There are no or too few pictures, a picture has no caption, cannot be decoded or comes
            twice (the same bytes), a caption is empty or comes twice for a picture, or the table has other
            columns or names a picture that is not there.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = CAPTION_OUTPUTS

    def __init__(
        self,
        root: Path,
        captions_file: str | None = None,
        image_column: str = "image",
        caption_column: str = "caption",
        selection_fraction: float = 0.1,
        report_fraction: float = 0.1,
        warmup_fraction: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.root = root
        self.captions_file = captions_file
        self.columns = (image_column, caption_column)
        self.fractions = {
            "selection": selection_fraction,
            "report": report_fraction,
            "warmup": warmup_fraction,
        }
        self.seed = seed
        for split, fraction in self.fractions.items():
            if not 0 < fraction < 1:
                raise ValueError(
                    f"{split}_fraction is {fraction}; expected a fraction between 0 and 1"
                )
        if selection_fraction + report_fraction >= 1:
            given = f"selection_fraction {selection_fraction} and report_fraction {report_fraction}"
            raise ValueError(f"{given} leave no training data")

    def check(self) -> None:
        """Raise ValueError where there are no pictures, or no single table to take captions from."""
        self._pictures()
        self._table()

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        pictures = self._pictures()
        table = self._table()
        captions = self._beside(pictures) if table is None else self._from_table(table, pictures)
        _refuse_equal_pictures(self.root, pictures)
        images = [
            CaptionedImage(
                image_id, name, *picture_size(self.root / name, decode=True), tuple(captions[name])
            )
            for image_id, name in enumerate(pictures)
        ]
        return {
            **write_splits(output_dir, self._split(images).items()),
            "image_dir": self.root.absolute(),
        }

    def _pictures(self) -> list[str]:
        """Names of all pictures, sorted, so that the split does not hang on the file system."""
        found = [path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file()]
        pictures = sorted(
            path.as_posix() for path in found if path.suffix.lower() in PICTURE_SUFFIXES
        )
        if not pictures:
            suffixes = sorted({path.suffix or "no suffix" for path in found})
            there = f"files with {listing(suffixes)}" if found else "no files"
            raise ValueError(
                f"{self.root} has no pictures ({listing(sorted(PICTURE_SUFFIXES))}); it has {there}"
            )
        return pictures

    def _table(self) -> Path | None:
        if self.captions_file is not None:
            path = self.root / self.captions_file
            if not path.is_file() or path.suffix not in _TABLE_SUFFIXES:
                raise ValueError(f"captions_file {path} is not there or not .jsonl or .csv")
            return path
        tables = sorted(path for path in self.root.iterdir() if path.suffix in _TABLE_SUFFIXES)
        if len(tables) > 1:
            names = listing([path.name for path in tables])
            raise ValueError(
                f"{self.root} has several caption files, {names}; choose one with captions_file"
            )
        return tables[0] if tables else None

    def _beside(self, pictures: list[str]) -> Captions:
        texts = {name: (self.root / name).with_suffix(".txt") for name in pictures}
        _refuse(
            f"pictures in {self.root} have no .txt file beside them",
            [n for n in texts if not texts[n].exists()],
        )
        captions = {name: _lines(path) for name, path in texts.items()}
        _refuse(
            f"caption files in {self.root} are empty",
            [texts[name] for name in texts if not captions[name]],
        )
        for name, lines in captions.items():
            _refuse(f"captions in {texts[name]} come twice", _repeated(lines))
        return captions

    def _from_table(self, table: Path, pictures: list[str]) -> Captions:
        captions: Captions = {name: [] for name in pictures}
        for place, row in self._rows(table):
            image, caption = (row[column] for column in self.columns)
            if not isinstance(image, str) or not isinstance(caption, str) or not caption.strip():
                raise ValueError(f"{place}: the caption of {image!r} is empty or not text")
            name = self._name(place, image)
            if name not in captions:
                raise ValueError(f"{place}: the picture {image!r} is not in {self.root}")
            if caption.strip() in captions[name]:
                raise ValueError(f"{place}: the caption {caption!r} of {image!r} comes twice")
            captions[name].append(caption.strip())
        _refuse(
            f"pictures in {self.root} have no caption in {table.name}",
            [n for n in pictures if not captions[n]],
        )
        return captions

    def _name(self, place: str, image: str) -> str:
        path = Path(image)
        if path.is_absolute() and not path.is_relative_to(self.root.absolute()):
            raise ValueError(f"{place}: the picture {image!r} is outside {self.root}")
        return (path.relative_to(self.root.absolute()) if path.is_absolute() else path).as_posix()

    def _rows(self, table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows that have both columns, each with its place for messages."""
        # The mark that spreadsheet programs put before a CSV is no part of the first column's name.
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = _json_rows(table, file) if table.suffix == ".jsonl" else csv.DictReader(file)
            for number, row in enumerate(rows, start=1 if table.suffix == ".jsonl" else 2):
                place = f"{table}, line {number}"
                if not isinstance(row, dict) or not row.keys() >= set(self.columns):
                    there = listing(list(row)) if isinstance(row, dict) else repr(row)
                    raise ValueError(
                        f"{place} has the columns {there}; expected {' and '.join(self.columns)}"
                    )
                yield place, row

    def _split(self, images: list[CaptionedImage]) -> dict[str, list[CaptionedImage]]:
        rng = random.Random(self.seed)
        order = rng.sample(images, len(images))
        num_selection = round(len(images) * self.fractions["selection"])
        num_report = round(len(images) * self.fractions["report"])
        report, rest = order[:num_report], order[num_report:]
        selection, train = rest[:num_selection], rest[num_selection:]
        warmup = rng.sample(train, round(len(train) * self.fractions["warmup"]))
        splits = {"warmup": warmup, "train": train, "selection": selection, "report": report}
        empty = [split for split, chosen in splits.items() if not chosen]
        if empty:
            given = ", ".join(
                f"{split}_fraction {value}" for split, value in self.fractions.items()
            )
            raise ValueError(
                f"{len(images)} pictures in {self.root} leave nothing for {listing(empty)}; {given}"
            )
        return splits


def _json_rows(table: Path, file: Any) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{table}, line {number} is not JSON: {error}") from error


def _lines(path: Path) -> list[str]:
    return [
        line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()
    ]


def _refuse_equal_pictures(root: Path, pictures: list[str]) -> None:
    """The same picture in two splits would make an evaluation worthless."""
    seen: dict[bytes, str] = {}
    equal = []
    for name in pictures:
        digest = hashlib.sha256((root / name).read_bytes()).digest()
        if digest in seen:
            equal.append(f"{name} = {seen[digest]}")
        seen.setdefault(digest, name)
    _refuse(f"pictures in {root} come twice", equal)


def _repeated(values: list[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})


def _refuse(problem: str, found: list[Any]) -> None:
    if found:
        raise ValueError(f"{len(found)} {problem}: {listing(found)}")
