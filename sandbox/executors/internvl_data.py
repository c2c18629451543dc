"""InternVL's fine-tuning format: conversations as JSON Lines, and the meta file that names them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT = "Provide a one-sentence caption for the provided image."
"""The question of InternVL's COCO caption recipe."""

_DATA_JUICER_TOKENS = re.compile(r"<__dj__\w+>|<\|__dj__\w+\|>")


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture with one caption; ``origin`` says where the pair stands, for messages."""

    image_path: Path
    caption: str
    origin: str


def read_pool(dataset_path: Path) -> list[CaptionedPicture]:
    """The pairs of a Data-Juicer pool: ``text`` without its special tokens, and the picture in ``images``.

    Raises:
        ValueError: The pool is empty or no JSON Lines file, or a row has no caption, no picture or several.
    """
    pairs = [_pool_pair(row, origin, dataset_path.parent) for origin, row in _rows(dataset_path)]
    if not pairs:
        raise ValueError(f"{dataset_path} holds no samples; expected one JSON object a line")
    return pairs


def read_annotations(annotation_path: Path, image_dir: Path) -> list[CaptionedPicture]:
    """The pairs of a COCO-format annotation file, one a caption.

    Raises:
        ValueError: The file is not in COCO caption format, or holds no caption.
    """
    content = read_coco(annotation_path)
    files = {image["id"]: image["file_name"] for image in content["images"]}
    pairs = []
    for annotation in content.get("annotations", []):
        origin = f"{annotation_path}: annotation {annotation.get('id')}"
        caption = str(annotation.get("caption") or "").strip()
        if not caption:
            raise ValueError(f"{origin} has no caption")
        if annotation.get("image_id") not in files:
            raise ValueError(
                f"{origin} names image {annotation.get('image_id')}, which is not among the images"
            )
        pairs.append(CaptionedPicture(image_dir / files[annotation["image_id"]], caption, origin))
    if not pairs:
        raise ValueError(f"{annotation_path} holds no captions")
    return pairs


def read_coco(annotation_path: Path) -> dict[str, Any]:
    """A COCO-format annotation file with at least one image.

    Raises:
        ValueError: It is no JSON, or holds no ``images`` with ``id`` and ``file_name``.
    """
    try:
        content = json.loads(annotation_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{annotation_path} is not JSON: {error}") from error
    images = content.get("images") if isinstance(content, dict) else None
    if not images or any("id" not in image or "file_name" not in image for image in images):
        raise ValueError(
            f"{annotation_path} is not in COCO format: expected images, each with id and file_name"
        )
    return dict(content)


def check_pictures(pictures: Iterable[tuple[Path, str]]) -> None:
    """Refuse missing pictures and files that are none, without decoding them.

    Args:
        pictures: Path and origin of each picture.

    Raises:
        ValueError: A picture is not there or not readable; the message names file and origin.
    """
    from PIL import Image

    for path, origin in {path: (path, origin) for path, origin in pictures}.values():
        if not path.is_file():
            raise ValueError(f"{origin}: picture {path} does not exist")
        try:
            with Image.open(path) as picture:
                picture.verify()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{origin}: picture {path} cannot be decoded: {error}") from error


def write_conversations(
    pairs: list[CaptionedPicture], prompt: str, folder: Path, name: str
) -> Path:
    """Write ``<name>.jsonl`` and ``<name>_meta.json`` into ``folder``; the latter's path is returned.

    The meta file has the keys of InternVL's own: root, annotation, data_augment, repeat_time, length.
    """
    check_pictures((pair.image_path, pair.origin) for pair in pairs)
    root = Path(os.path.commonpath([pair.image_path.parent for pair in pairs]))
    annotation_path = folder / f"{name}.jsonl"
    with annotation_path.open("w", encoding="utf-8") as file:
        for number, pair in enumerate(pairs):
            row = _conversation(number, pair, prompt, root)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    entry = {
        "root": str(root),
        "annotation": str(annotation_path),
        "data_augment": False,
        "repeat_time": 1,
        "length": len(pairs),
    }
    meta_path = folder / f"{name}_meta.json"
    meta_path.write_text(json.dumps({name: entry}, indent=1), encoding="utf-8")
    return meta_path


def _conversation(number: int, pair: CaptionedPicture, prompt: str, root: Path) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"<image>\n{prompt}"},
        {"from": "gpt", "value": pair.caption},
    ]
    image = str(pair.image_path.relative_to(root))
    return {"id": number, "image": image, "origin": pair.origin, "conversations": turns}


def _rows(dataset_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with dataset_path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            origin = f"{dataset_path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{origin} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{origin} is not a JSON object")
            yield origin, row


def _pool_pair(row: dict[str, Any], origin: str, folder: Path) -> CaptionedPicture:
    text = row.get("text") if row.get("text") is not None else row.get("caption")
    caption = " ".join(_DATA_JUICER_TOKENS.sub(" ", str(text or "")).split())
    if not caption:
        raise ValueError(f"{origin} has no caption: expected it in 'text'")
    images = row.get("images") or []
    if not isinstance(images, list) or len(images) != 1:
        raise ValueError(f"{origin} has {images!r} as 'images'; expected a list of one picture")
    return CaptionedPicture(Path(os.path.abspath(folder / str(images[0]))), caption, origin)  # noqa: PTH100
