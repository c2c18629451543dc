"""A folder of pictures with captions in one table, or in a text file beside each picture."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox.datasets import (
    CaptionData,
    CaptionedImage,
    Duplicates,
    Share,
    listing,
    picture_size,
    write_caption_data,
)
from sandbox.datasets.tables import kind_of, read_rows
from sandbox.evaluators.pool_texts import write_rows
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, rule
from sandbox.samples import SampleError, text_of

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))

Captions = dict[str, list[str]]
"""Captions by file name."""

Splits = dict[str, list[CaptionedImage]]


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(CaptionData):
    """The pictures of a folder.

    Args:
        dropped_path: Pictures that were left out, JSON Lines: ``file_name`` and ``reason``.
        num_images: Number of pictures found.
        num_duplicates: Pictures with the same bytes as an earlier one.
        summary: What was found, and what became of it.
    """

    dropped_path: Path
    num_images: int
    num_duplicates: int
    summary: str


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
        duplicates: Pictures with the same bytes: ``drop`` leaves out all but the first by name,
            with their captions, ``keep`` has them in one split, ``error`` ends the run.
        seed: Seed of the split.

    Raises:
        ValueError: There are too few pictures; a picture has no caption or is broken, or occurs
            twice where ``duplicates`` is ``error``; a caption is empty or occurs twice for a
            picture; or the table has no such column or names an unknown picture.
    """

    VERSION: ClassVar[int] = 2

    root: Path
    captions_file: str | None = None
    image_column: str = "image"
    caption_column: str = "caption"
    selection_fraction: Share = 0.1
    report_fraction: Share = 0.1
    warmup_fraction: Share = 0.1
    duplicates: Duplicates = "drop"
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

    def run(self, *, scope: JobScope) -> ImageFolderData:
        """Read and check captions and pictures, and write the annotation files."""
        pictures = self._pictures()
        table = self._table()
        captions = self._beside(pictures) if table is None else self._from_table(table, pictures)
        copies = _copies(self.root, pictures)
        if self.duplicates == "error":
            found = [f"{copy} = {original}" for copy, original in copies.items()]
            _refuse(f"pictures in {self.root} occur twice", found)
        dropped = copies if self.duplicates == "drop" else {}
        images = [
            CaptionedImage(
                image_id, name, *picture_size(self.root / name, decode=True), tuple(captions[name])
            )
            for image_id, name in enumerate(pictures)
            if name not in dropped
        ]
        splits = self._split(images, copies)
        data = write_caption_data(scope.output_dir, self.root.absolute(), splits)
        reasons = (
            {"file_name": copy, "reason": f"same bytes as {original}"}
            for copy, original in dropped.items()
        )
        return ImageFolderData(
            **vars(data),
            dropped_path=write_rows(scope.output_dir / "dropped.jsonl", reasons),
            num_images=len(pictures),
            num_duplicates=len(copies),
            summary=self._summary(splits, len(pictures), len(copies)),
        )

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
        for number, row in read_rows(table):
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

    def _split(self, images: list[CaptionedImage], copies: Mapping[str, str]) -> Splits:
        rng = random.Random(self.seed)
        originals = [image for image in images if image.file_name not in copies]
        order = rng.sample(originals, len(originals))
        num_selection = round(len(order) * self.selection_fraction)
        num_report = round(len(order) * self.report_fraction)
        # The report comes first: its pictures stay the same if selection_fraction changes.
        report, rest = order[:num_report], order[num_report:]
        selection, train = rest[:num_selection], rest[num_selection:]
        warmup = rng.sample(train, round(len(train) * self.warmup_fraction))
        splits = {"warmup": warmup, "train": train, "selection": selection, "report": report}
        empty = [split for split, chosen in splits.items() if not chosen]
        if empty:
            raise ValueError(
                f"{len(originals)} different pictures in {self.root} leave nothing for "
                f"{listing(empty)}; selection_fraction {self.selection_fraction}, "
                f"report_fraction {self.report_fraction}, warmup_fraction {self.warmup_fraction}"
            )
        for chosen in splits.values():
            # A copy in another split would make an evaluation worthless.
            names = {image.file_name for image in chosen}
            chosen += [image for image in images if copies.get(image.file_name) in names]
        return splits

    def _summary(self, splits: Splits, num_images: int, num_copies: int) -> str:
        sizes = {split: len(chosen) for split, chosen in splits.items()}
        treatment = "left out" if self.duplicates == "drop" else "kept in the split of the first"
        return (
            f"{self.root.name}: {num_images:,} pictures, {sizes['train']:,} to train on "
            f"({sizes['warmup']:,} of them to warm up), {sizes['selection']:,} for choices and "
            f"{sizes['report']:,} for the report; {num_copies:,} duplicates {treatment}"
        )


def _is_table(path: Path) -> bool:
    return kind_of(path) in ("pool", "csv")


def _lines(path: Path) -> list[str]:
    # Some editors put a byte order mark before the first line.
    lines = map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())
    return [line for line in lines if line]


def _copies(root: Path, pictures: list[str]) -> dict[str, str]:
    """Return the pictures whose bytes occur before, each with the first such picture."""
    seen: dict[bytes, str] = {}
    copies = {}
    for name in pictures:
        digest = hashlib.sha256((root / name).read_bytes()).digest()
        if digest in seen:
            copies[name] = seen[digest]
        seen.setdefault(digest, name)
    return copies


def _repeated(values: list[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})


def _refuse(problem: str, found: Collection[object]) -> None:
    if found:
        raise ValueError(f"{len(found)} {problem}: {listing(found)}")
