"""COCO captions in Karpathy's splits, as InternVL trains and evaluates on them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.datasets import (
    CaptionData,
    CaptionedImage,
    listing,
    picture_size,
    write_caption_data,
)
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, PositiveInt
from sandbox.samples import SampleError, is_pool, read_samples

_SPLIT_OF = {"train": "train", "restval": "train", "val": "selection", "test": "report"}
_NUMBER = re.compile(r"(\d+)\.\w+$")

Captions = dict[str, list[str]]
"""Captions by file name."""


@dataclass(frozen=True, kw_only=True)
class COCOKarpathy(BaseDataExecutor):
    """Take COCO's captions and pictures from a folder laid out as for InternVL's caption training.

    Two forms are read. InternVL's: one file per split, JSON Lines or a JSON list, with rows
    ``{"image": "train2014/x.jpg", "conversations": [...]}`` or ``{"image", "caption": text or
    list}``. Karpathy's own: ``dataset_file`` with all splits, of which ``restval`` counts as
    training data. Selection is on ``val``, the report on ``test``; the warm-up pictures are drawn
    from the training pictures. A picture keeps COCO's id.

    Args:
        root: The folder; every ``file_name`` is relative to it (``train2014/…``, ``val2014/…``).
        train_file: Training captions, relative to ``root``.
        selection_file: Captions of the ``val`` split.
        report_file: Captions of the ``test`` split.
        dataset_file: Karpathy's ``dataset_coco.json``, read instead of the three files.
        num_warmup: Warm-up pictures.
        num_train: Training pictures, drawn at random; ``None`` takes all.
        num_selection: The same for selection.
        num_report: The same for the report.
        seed: Seed of the draws.

    Raises:
        ValueError: A file is not of its form, a caption is empty, a picture is missing, broken or
            in two splits, or a split has fewer pictures than requested.

    Source: Karpathy and Fei-Fei 2015 (the splits); InternVL,
    ``internvl_chat/eval/caption/README.md``.
    """

    root: Path
    train_file: str = "annotations/coco_karpathy_train_567k.jsonl"
    selection_file: str = "annotations/coco_karpathy_val.json"
    report_file: str = "annotations/coco_karpathy_test.json"
    dataset_file: str | None = None
    num_warmup: PositiveInt = 2000
    num_train: PositiveInt | None = None
    num_selection: PositiveInt | None = None
    num_report: PositiveInt | None = None
    seed: int = 0

    def check(self) -> None:
        """Check that the annotation files exist.

        Raises:
            ValueError: One is missing.
        """
        files = [self.train_file, self.selection_file, self.report_file]
        if self.dataset_file:
            files = [self.dataset_file]
        missing = [name for name in files if not (self.root / name).is_file()]
        if missing:
            raise ValueError(f"{self.root} has no {listing(missing)}")

    def run(self, *, scope: JobScope) -> CaptionData:
        """Read and check captions and pictures, and write the annotation files."""
        # Again: the plan could not check files that an earlier job makes.
        self.check()
        splits = self._read_dataset_file() if self.dataset_file else self._read_files()
        _check_disjoint(splits)
        drawn = {
            "train": self._draw("train", splits["train"], self.num_train),
            "selection": self._draw("selection", splits["selection"], self.num_selection),
            "report": self._draw("report", splits["report"], self.num_report),
        }
        self._check_pictures([name for captions in drawn.values() for name in captions])
        drawn["warmup"] = self._draw("warmup", drawn["train"], self.num_warmup)
        images = {split: self._images(captions) for split, captions in drawn.items()}
        return write_caption_data(scope.output_dir, self.root.absolute(), images)

    def _read_files(self) -> dict[str, Captions]:
        return {
            "train": _read_file(self.root / self.train_file),
            "selection": _read_file(self.root / self.selection_file),
            "report": _read_file(self.root / self.report_file),
        }

    def _read_dataset_file(self) -> dict[str, Captions]:
        path = self.root / str(self.dataset_file)
        splits: dict[str, Captions] = {"train": {}, "selection": {}, "report": {}}
        try:
            for number, image in enumerate(json.loads(path.read_bytes())["images"], start=1):
                name = f"{image['filepath']}/{image['filename']}"
                texts = [sentence["raw"] for sentence in image["sentences"]]
                split = splits[_SPLIT_OF[image["split"]]]
                split[name] = _checked(path, number, name, texts)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is not of the form of Karpathy's dataset_coco.json: {error!r}"
            ) from error
        return splits

    def _draw(self, split: str, captions: Captions, count: int | None) -> Captions:
        if count is None:
            if not captions:
                raise ValueError(f"the {split} split under {self.root} has no pictures")
            return captions
        if count > len(captions):
            raise ValueError(
                f"num_{split} is {count}; {self.root} has {len(captions)} such pictures"
            )
        # One seed per split: another size of one split leaves the others as they are. Sorted, so
        # that the order of rows in a file does not matter.
        drawn = random.Random(f"{self.seed}/{split}").sample(sorted(captions), count)
        return {file_name: captions[file_name] for file_name in drawn}

    def _check_pictures(self, names: Collection[str]) -> None:
        missing = [name for name in names if not (self.root / name).is_file()]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(names)} pictures are missing under {self.root}: "
                f"{listing(missing)}"
            )

    def _images(self, captions: Captions) -> list[CaptionedImage]:
        images = []
        for name, texts in captions.items():
            size = picture_size(self.root / name, decode=False)
            images.append(CaptionedImage(_coco_id(name), name, *size, tuple(texts)))
        return images


def _read_file(path: Path) -> Captions:
    captions: Captions = {}
    for number, row in _rows(path):
        try:
            name, texts = row["image"], _texts(row)
        except (KeyError, TypeError) as error:
            keys = ", ".join(row) if isinstance(row, Mapping) else repr(row)
            expected = 'expected "image" and "conversations" or "caption"'
            raise SampleError.at(path, number, f"{expected}, got {keys}") from error
        captions.setdefault(name, []).extend(_checked(path, number, name, texts))
    return captions


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Read a JSON list or JSON Lines; every row comes with its number, from 1."""
    if is_pool(path):
        yield from read_samples(path, with_stats=False)
        return
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise SampleError.at(path, None, f"not valid JSON: {error}") from error
    yield from enumerate(rows, start=1)


def _texts(row: Mapping[str, Any]) -> list[Any]:
    if "conversations" in row:
        return [turn["value"] for turn in row["conversations"] if turn["from"] == "gpt"]
    return [row["caption"]] if isinstance(row["caption"], str) else row["caption"]


def _checked(path: Path, number: int, name: str, texts: list[Any]) -> list[str]:
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise SampleError.at(path, number, f"a caption of {name} is empty or missing")
    return [text.strip() for text in texts]


def _check_disjoint(splits: Mapping[str, Captions]) -> None:
    # By id, because one picture may be in two folders.
    seen: dict[int, str] = {}
    for split, captions in splits.items():
        for file_name in captions:
            image_id = _coco_id(file_name)
            if image_id in seen:
                raise ValueError(
                    f"picture {image_id} ({file_name}) is in {seen[image_id]} and again in {split}"
                )
            seen[image_id] = split


def _coco_id(file_name: str) -> int:
    """Return COCO's id, the number at the end of the file's name."""
    number = _NUMBER.search(file_name)
    if number is None:
        raise ValueError(
            f"the picture name {file_name!r} does not end with a COCO id, as in x_000000000042.jpg"
        )
    return int(number[1])
