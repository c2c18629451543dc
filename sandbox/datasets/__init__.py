"""Data sets: jobs that make, or find and check, the data of an experiment.

This module holds the parts that caption data sets share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from sandbox.samples import write_coco
from sandbox.system.files import require_regular

Share = Annotated[float, Interval(gt=0, lt=1)]
"""Share of a whole, above 0 and below 1: both parts are left with something."""

Duplicates = Literal["keep", "drop", "error"]
"""Treatment of what occurs twice: all of it in one split, only the first, or an error."""

_NUM_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class CaptionData:
    """A caption data set: four annotation files in COCO format, and the folder of the pictures.

    No picture is in two files, except that warm-up pictures of real data are also training
    pictures.

    Args:
        warmup_path: Small set for the first training of a model with random weights.
        train_path: Training set; may be dirty.
        selection_path: Set on which choices are made.
        report_path: Set on which results are reported.
        image_dir: Folder to which every ``file_name`` is relative.
    """

    warmup_path: Path
    train_path: Path
    selection_path: Path
    report_path: Path
    image_dir: Path


@dataclass(frozen=True)
class CaptionedImage:
    """One picture with its captions.

    Args:
        image_id: Id, unique in the data set.
        file_name: Path relative to the image folder.
        width: Pixels.
        height: Pixels.
        captions: At least one.
        dirt: Kind of dirt, noted in the annotation file; ``None`` if unknown or clean.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    captions: tuple[str, ...]
    dirt: str | None = None

    def entry(self) -> dict[str, Any]:
        """Return the picture's entry of an annotation file."""
        entry: dict[str, Any] = {
            "id": self.image_id,
            "file_name": self.file_name,
            "width": self.width,
            "height": self.height,
        }
        if self.dirt:
            entry["dirt"] = self.dirt
        return entry


def write_caption_data(
    output_dir: Path, image_dir: Path, splits: Mapping[str, Sequence[CaptionedImage]]
) -> CaptionData:
    """Write the annotation files of the splits warmup, train, selection and report."""
    paths = {split: output_dir / f"captions_{split}.json" for split in splits}
    for split, images in splits.items():
        write_coco(paths[split], [image.entry() for image in images], _captions(images))
    return CaptionData(
        warmup_path=paths["warmup"],
        train_path=paths["train"],
        selection_path=paths["selection"],
        report_path=paths["report"],
        image_dir=image_dir,
    )


def picture_size(path: Path, *, decode: bool) -> tuple[int, int]:
    """Return width and height of a picture in pixels, from its header.

    Args:
        path: The picture.
        decode: Also read the rest of the file, to find a truncated picture.

    Raises:
        ValueError: The picture cannot be decoded.
    """
    from PIL import Image

    require_regular(path)
    try:
        with Image.open(path) as image:
            size = image.size
            if decode:
                # A smaller draft of a JPEG reads all bytes, but decodes several times faster.
                image.draft("RGB", (size[0] // 8, size[1] // 8))
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture {path} cannot be decoded: {error}") from error
    return size


def listing(values: Collection[object]) -> str:
    """Return the first few values as text, for a message."""
    shown = ", ".join(str(value) for value in islice(values, _NUM_LISTED))
    return shown if len(values) <= _NUM_LISTED else f"{shown}, …"


def _captions(images: Sequence[CaptionedImage]) -> Iterator[tuple[int, str]]:
    for image in images:
        for caption in image.captions:
            yield image.image_id, caption
