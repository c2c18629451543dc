"""COCO caption annotations: the one reader and the one writer of the format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CocoAnnotations", "CocoCaption", "first_of", "read_coco", "write_coco"]

_NAMED_AT_MOST = 5
_EXPECTED = '{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}'


@dataclass(frozen=True)
class CocoCaption:
    """One annotation; its caption has no white space around it."""

    id: Any
    image_id: Any
    caption: str


@dataclass(frozen=True)
class CocoAnnotations:
    """Pictures and captions of one annotation file, both in the file's order.

    Args:
        path: The file, for messages.
        images: File name of every picture by its id; at least one.
        captions: Captions, each of a picture in ``images``; may be empty.
    """

    path: Path
    images: Mapping[Any, str]
    captions: tuple[CocoCaption, ...]

    def require_captions(self) -> None:
        """Raise ValueError if there is no caption, or a picture without one."""
        if not self.captions:
            raise ValueError(f"{self.path} has no annotations")
        captioned = {each.image_id for each in self.captions}
        bare = [image_id for image_id in self.images if image_id not in captioned]
        if bare:
            raise ValueError(
                f"{self.path}: {len(bare)} pictures have no caption, the first: {first_of(bare)}"
            )


def read_coco(path: Path, *, allow_empty_captions: bool = False) -> CocoAnnotations:
    """Read and check an annotation file.

    ``annotations`` may be absent, as in a file that only lists pictures to caption.

    Raises:
        ValueError: The file is not in COCO format, lists no picture or one id twice, or an
            annotation has an id that came before, no caption, or a picture that the file does not
            list.
    """
    try:
        content = json.loads(path.read_bytes())
        rows = content["images"]
        images = {row["id"]: str(row["file_name"]) for row in rows}
        annotations = list(content.get("annotations") or [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no COCO caption file, expected {_EXPECTED}: {error!r}"
        ) from error
    if not images:
        raise ValueError(f"{path} is no COCO caption file: it lists no images")
    if len(images) != len(rows):
        repeated = len(rows) - len(images)
        raise ValueError(f"{path}: {repeated} pictures have an id that came before")
    return CocoAnnotations(path, images, _captions(path, images, annotations, allow_empty_captions))


def write_coco(
    path: Path, images: Iterable[Mapping[str, Any]], captions: Iterable[tuple[Any, str]]
) -> None:
    """Write an annotation file; annotations are numbered from 0.

    Args:
        path: The file.
        images: Entries of pictures: ``id``, ``file_name``, ``width``, ``height``, and any others.
        captions: Picture id and caption of every annotation.
    """
    annotations = [
        {"id": number, "image_id": image_id, "caption": caption}
        for number, (image_id, caption) in enumerate(captions)
    ]
    content = {
        "info": {},
        "licenses": [],
        "type": "captions",
        "images": list(images),
        "annotations": annotations,
    }
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def first_of(values: Iterable[Any]) -> str:
    """Return the first few values, for messages."""
    return ", ".join(str(value) for value in list(values)[:_NAMED_AT_MOST])


def _captions(
    path: Path, images: Mapping[Any, str], annotations: list[Any], allow_empty: bool
) -> tuple[CocoCaption, ...]:
    captions: dict[Any, CocoCaption] = {}
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise ValueError(f"{path}: annotation {annotation!r} is not a JSON object")
        place = f"{path}: annotation {annotation.get('id', annotation)}"
        missing = [key for key in ("id", "image_id", "caption") if key not in annotation]
        if missing:
            raise ValueError(f"{place} has no {' and no '.join(missing)}")
        given = CocoCaption(annotation["id"], annotation["image_id"], _stripped(annotation))
        if given.id in captions:
            raise ValueError(f"{place} comes twice")
        if given.image_id not in images:
            raise ValueError(
                f"{place} is for picture {given.image_id!r}, which the file does not list"
            )
        if not given.caption and not allow_empty:
            raise ValueError(f"{place} (picture {given.image_id!r}) has an empty caption")
        captions[given.id] = given
    return tuple(captions.values())


def _stripped(annotation: Mapping[str, Any]) -> str:
    caption = annotation["caption"]
    return caption.strip() if isinstance(caption, str) else ""
