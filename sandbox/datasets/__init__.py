"""Data sets: jobs that make, or find and check, the data of an experiment. What caption data sets share."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

CAPTION_OUTPUTS = ("warmup_path", "train_path", "selection_path", "report_path", "image_dir")
"""Outputs of every caption data set.

Four caption annotation files in COCO format and the folder that their ``file_name`` are relative to:
``warmup_path`` a small set for the first training of a model that is made from nothing, ``train_path``
the training set (it may be dirty), ``selection_path`` and ``report_path`` the set that choices are made
on and the one that results are reported on. No picture is in two of them, but warm-up pictures of
real data are also training pictures.
"""

SPLITS = ("warmup", "train", "selection", "report")


@dataclass(frozen=True)
class CaptionedImage:
    """One picture with its captions.

    Args:
        image_id: Id, unique in the data set.
        file_name: Path relative to the image folder.
        width: Pixels.
        height: Pixels.
        captions: At least one.
        notes: More keys for the picture's entry in the annotation file.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    captions: tuple[str, ...]
    notes: tuple[tuple[str, str], ...] = ()


def write_splits(
    output_dir: Path, splits: Iterable[tuple[str, list[CaptionedImage]]]
) -> dict[str, Path]:
    """Write one COCO caption annotation file per split; returns them as ``<split>_path``."""
    paths = {}
    for split, images in splits:
        path = output_dir / f"captions_{split}.json"
        path.write_text(json.dumps(_coco(images), ensure_ascii=False), encoding="utf-8")
        paths[f"{split}_path"] = path
    return paths


def _coco(images: list[CaptionedImage]) -> dict[str, Any]:
    entries = [
        {
            "id": image.image_id,
            "file_name": image.file_name,
            "width": image.width,
            "height": image.height,
            **dict(image.notes),
        }
        for image in images
    ]
    captions = ((image.image_id, caption) for image in images for caption in image.captions)
    annotations = [
        {"id": number, "image_id": image_id, "caption": caption}
        for number, (image_id, caption) in enumerate(captions)
    ]
    return {
        "info": {},
        "licenses": [],
        "type": "captions",
        "images": entries,
        "annotations": annotations,
    }


def picture_size(path: Path, decode: bool) -> tuple[int, int]:
    """Width and height of a picture in pixels, from its header; with ``decode`` the rest is read as well.

    Raises:
        ValueError: The picture cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
            if decode:
                image.draft(
                    "RGB", (size[0] // 8, size[1] // 8)
                )  # JPEG: several times faster, reads all bytes
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture {path} cannot be decoded: {error}") from error
    return size


def listing(values: Collection[object]) -> str:
    """The first five values, for a message."""
    named = ", ".join(str(value) for value in islice(values, 5))
    return named if len(values) <= 5 else f"{named}, …"
