"""Pictures and captions for InternVL: read from data pools and annotations, checked, written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.samples import SampleError, media_of, read_coco, read_samples
from sandbox.system.files import require_regular
from sandbox.workers.internvl_conversations import CaptionedPicture, write_conversations

PROMPT = "Provide a one-sentence caption for the provided image."
"""The question of InternVL's COCO caption recipe."""

_DATA_JUICER_TOKENS = re.compile(r"<__dj__\w+>|<\|__dj__\w+\|>")


def read_pool(dataset_path: Path, prompt: str = PROMPT) -> list[CaptionedPicture]:
    """Return the pairs of a Data-Juicer pool: ``text`` without special tokens, and one picture.

    Raises:
        SampleError: The pool is empty or damaged, or a sample has no caption or no single picture.
    """
    return [
        _pool_pair(sample, dataset_path, number, prompt)
        for number, sample in read_samples(dataset_path, with_stats=False)
    ]


def read_annotations(
    annotation_path: Path, image_dir: Path, prompt: str = PROMPT
) -> list[CaptionedPicture]:
    """Return the pairs of a COCO caption annotation file, one a caption.

    Raises:
        ValueError: The file is not in COCO caption format, or holds no caption.
    """
    coco = read_coco(annotation_path)
    if not coco.captions:
        raise ValueError(f"{annotation_path} has no annotations")
    return [
        CaptionedPicture(
            image_dir / coco.images[annotation.image_id],
            annotation.caption,
            f"{annotation_path}: annotation {annotation.id}",
            prompt,
        )
        for annotation in coco.captions
    ]


def check_pictures(pictures: Iterable[tuple[Path, str]]) -> None:
    """Refuse pictures that are missing or no pictures, without decoding them.

    Args:
        pictures: Path and origin of each picture.

    Raises:
        ValueError: A picture cannot be used; the message names file and origin.
    """
    from PIL import Image

    origins: dict[Path, str] = {}
    for path, origin in pictures:
        origins.setdefault(path, origin)
    for path, origin in origins.items():
        if not path.is_file():
            require_regular(path)
            raise ValueError(f"{origin}: picture {path} does not exist")
        try:
            with Image.open(path) as picture:
                picture.verify()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{origin}: picture {path} cannot be decoded: {error}") from error


def write_training_set(pairs: Sequence[CaptionedPicture], folder: Path, name: str) -> Path:
    """Check the pictures, write ``<name>.jsonl`` and ``<name>_meta.json``; return the latter.

    Raises:
        ValueError: A picture cannot be used.
    """
    check_pictures((pair.image_path, pair.origin) for pair in pairs)
    root = Path(os.path.commonpath([pair.image_path.parent for pair in pairs]))
    meta_path = folder / f"{name}_meta.json"
    write_conversations(meta_path, name, pairs, root)
    return meta_path


def _pool_pair(
    sample: Mapping[str, Any], dataset_path: Path, number: int, prompt: str
) -> CaptionedPicture:
    text = sample.get("text")
    if text is None:
        text = sample.get("caption")
    caption = " ".join(_DATA_JUICER_TOKENS.sub(" ", str(text or "")).split())
    if not caption:
        raise SampleError.at(dataset_path, number, "has no caption; expected it under 'text'")
    images = media_of(sample, "images", dataset_path, number)
    if len(images) != 1:
        raise SampleError.at(
            dataset_path,
            number,
            f"expected a list of one picture under 'images', got {images!r}",
        )
    # Paths relative to a common folder are found by their text, so that ".." must not occur.
    return CaptionedPicture(
        Path(os.path.normpath(images[0])), caption, f"{dataset_path}:{number}", prompt
    )
