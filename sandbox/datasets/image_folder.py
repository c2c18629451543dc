"""A folder of pictures with captions in one table, or in a text file beside each picture."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.datasets import (
    CaptionData,
    CaptionedImage,
    Share,
    listing,
    picture_size,
    write_caption_data,
)
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, rule
from sandbox.samples import SampleError, is_pool, read_samples, text_of

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))

Captions = dict[str, list[str]]
"""Captions by file name."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(BaseDataExecutor):
    """Take the pictures of a folder, with subfolders, and split them at random.

    Captions are in a table, CSV or a data pool, with one column for the picture's path relative to
    ``root`` and one for the caption (several rows of a picture are several references), or in
    ``picture.txt`` beside ``picture.jpg``, one caption a line. The warm-up pictures are drawn from
    the training pictures.

    Args:
        root: The folder.
        captions_file: The table, relative to ``root``; ``None`` takes the one table directly in
            ``root``, or the text files if there is none.
        image_column: Column of the picture.
        caption_column: Column of the caption.
        selection_fraction: Share of the pictures on which choices are made.
        report_fraction: Share on which results are reported; the others are training pictures.
        warmup_fraction: Share of the training pictures that are warm-up pictures as well.
        seed: Seed of the split.

    Raises:
        ValueError: There are too few pictures; a picture has no caption, is broken or occurs twice
            (the same bytes); a caption is empty or occurs twice for a picture; or the table has no
            such column or names an unknown picture.
    """

    root: Path
    captions_file: str | None = None
    image_column: str = "image"
    caption_column: str = "caption"
    selection_fraction: Share = 0.1
    report_fraction: Share = 0.1
    warmup_fraction: Share = 0.1
    seed: int = 0

    @rule
    def _training_data_is_left(selection_fraction: float, report_fraction: float) -> None:
        if selection_fraction + report_fraction >= 1:
            raise ValueError(
                f"selection_fraction {selection_fraction} and report_fraction {report_fraction} "
                "leave no training data"
            )

    def check(self) -> None:
        """Check that there are pictures, and at most one table to take captions from.

        Raises:
            ValueError: There are not.
        """
        self._pictures()
        self._table()

    def run(self, *, scope: JobScope) -> CaptionData:
        """Read and check captions and pictures, and write the annotation files."""
        pictures = self._pictures()
        table = self._table()
        captions = self._beside(pictures) if table is None else self._from_table(table, pictures)
        _refuse_equal_pictures(self.root, pictures)
        images = []
        for image_id, name in enumerate(pictures):
            size = picture_size(self.root / name, decode=True)
            images.append(CaptionedImage(image_id, name, *size, tuple(captions[name])))
        return write_caption_data(scope.output_dir, self.root.absolute(), self._split(images))

    def _pictures(self) -> list[str]:
        """Return all pictures, sorted, so that the split is the same on every file system."""
        found = [path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file()]
        pictures = sorted(
            path.as_posix() for path in found if path.suffix.lower() in PICTURE_SUFFIXES
        )
        if not pictures:
            suffixes = sorted({path.suffix or "no suffix" for path in found})
            present = f"files with {listing(suffixes)}" if found else "no files"
            raise ValueError(
                f"{self.root} has no pictures ({listing(sorted(PICTURE_SUFFIXES))}); "
                f"it has {present}"
            )
        return pictures

    def _table(self) -> Path | None:
        if self.captions_file is not None:
            path = self.root / self.captions_file
            if not path.is_file() or not _is_table(path):
                raise ValueError(f"captions_file {path} is missing, or neither CSV nor a data pool")
            return path
        tables = sorted(filter(_is_table, self.root.iterdir()))
        if len(tables) > 1:
            names = listing([path.name for path in tables])
            raise ValueError(
                f"{self.root} has several caption files, {names}; choose one with captions_file"
            )
        return tables[0] if tables else None

    def _beside(self, pictures: list[str]) -> Captions:
        texts = {name: (self.root / name).with_suffix(".txt") for name in pictures}
        missing = [name for name, path in texts.items() if not path.exists()]
        _refuse(f"pictures in {self.root} have no .txt file beside them", missing)
        captions = {name: _lines(path) for name, path in texts.items()}
        empty = [texts[name] for name, lines in captions.items() if not lines]
        _refuse(f"caption files in {self.root} are empty", empty)
        for name, lines in captions.items():
            _refuse(f"captions in {texts[name]} occur twice", _repeated(lines))
        return captions

    def _from_table(self, table: Path, pictures: list[str]) -> Captions:
        captions: Captions = {name: [] for name in pictures}
        for number, row in _rows(table):
            image = text_of(row, self.image_column, table, number)
            caption = text_of(row, self.caption_column, table, number).strip()
            name = self._name(image)
            if name not in captions:
                raise SampleError.at(table, number, f"{image!r} is not a picture in {self.root}")
            if not caption:
                raise SampleError.at(table, number, f"the caption of {image!r} is empty")
            if caption in captions[name]:
                raise SampleError.at(table, number, f"a caption of {image!r} is repeated")
            captions[name].append(caption)
        without = [name for name in pictures if not captions[name]]
        _refuse(f"pictures in {self.root} have no caption in {table.name}", without)
        return captions

    def _name(self, image: str) -> str:
        path = Path(image)
        if path.is_relative_to(self.root.absolute()):
            path = path.relative_to(self.root.absolute())
        return path.as_posix()

    def _split(self, images: list[CaptionedImage]) -> dict[str, list[CaptionedImage]]:
        rng = random.Random(self.seed)
        order = rng.sample(images, len(images))
        num_selection = round(len(images) * self.selection_fraction)
        num_report = round(len(images) * self.report_fraction)
        # The report comes first: its pictures stay the same if selection_fraction changes.
        report, rest = order[:num_report], order[num_report:]
        selection, train = rest[:num_selection], rest[num_selection:]
        warmup = rng.sample(train, round(len(train) * self.warmup_fraction))
        splits = {"warmup": warmup, "train": train, "selection": selection, "report": report}
        empty = [split for split, chosen in splits.items() if not chosen]
        if empty:
            raise ValueError(
                f"{len(images)} pictures in {self.root} leave nothing for {listing(empty)}; "
                f"selection_fraction {self.selection_fraction}, "
                f"report_fraction {self.report_fraction}, warmup_fraction {self.warmup_fraction}"
            )
        return splits


def _is_table(path: Path) -> bool:
    return is_pool(path) or path.suffix == ".csv"


def _rows(table: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if is_pool(table):
        yield from read_samples(table, with_stats=False)
        return
    # Spreadsheet programs put a byte order mark before the first column.
    with table.open(encoding="utf-8-sig", newline="") as file:
        yield from enumerate(csv.DictReader(file, restkey=""), start=2)


def _lines(path: Path) -> list[str]:
    # Some editors put a byte order mark before the first line.
    lines = map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())
    return [line for line in lines if line]


def _refuse_equal_pictures(root: Path, pictures: list[str]) -> None:
    """Refuse copies: a training picture in another split would make an evaluation worthless."""
    seen: dict[bytes, str] = {}
    equal = []
    for name in pictures:
        digest = hashlib.sha256((root / name).read_bytes()).digest()
        if digest in seen:
            equal.append(f"{name} = {seen[digest]}")
        seen.setdefault(digest, name)
    _refuse(f"pictures in {root} occur twice", equal)


def _repeated(values: list[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})


def _refuse(problem: str, found: Collection[object]) -> None:
    if found:
        raise ValueError(f"{len(found)} {problem}: {listing(found)}")
