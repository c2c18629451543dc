"""InternVL's fine-tuning format: conversations as JSON Lines, and the meta file that names them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PICTURE = "<image>"


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture with one caption.

    Args:
        image_path: The picture.
        caption: The answer that a model learns.
        origin: Place of the pair in its source, for messages.
        prompt: The question.
        size: Width and height in pixels, if known; InternVL's own scripts read them.
    """

    image_path: Path
    caption: str
    origin: str = ""
    prompt: str = ""
    size: tuple[int, int] | None = None


def write_conversations(
    meta_path: Path,
    name: str,
    pictures: Iterable[CaptionedPicture],
    root: Path,
    *,
    repeat_time: int = 1,
    max_dynamic_patch: int | None = None,
) -> int:
    """Write ``<name>.jsonl`` and, beside it, the meta file; return the number of conversations.

    Args:
        meta_path: The meta file.
        name: Name of the data set in the meta file.
        pictures: The pairs, in order.
        root: Folder that all pictures are in; their paths are written relative to it.
        repeat_time: How often an epoch goes through the data set.
        max_dynamic_patch: Most tiles a picture is cut into; ``None`` leaves it to the training.

    Raises:
        ValueError: A picture is not below ``root``.
    """
    annotation_path = meta_path.with_name(f"{name}.jsonl").absolute()
    length = 0
    with annotation_path.open("w", encoding="utf-8") as file:
        for length, picture in enumerate(pictures, start=1):
            row = _conversation(length - 1, picture, root)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    entry: dict[str, Any] = {
        "root": f"{root}/",
        "annotation": str(annotation_path),
        "data_augment": False,
        "repeat_time": repeat_time,
        "length": length,
    }
    if max_dynamic_patch is not None:
        entry["max_dynamic_patch"] = max_dynamic_patch
    content = json.dumps({name: entry}, indent=2, ensure_ascii=False)
    meta_path.write_text(content, encoding="utf-8")
    return length


def read_conversations(meta_path: Path) -> list[CaptionedPicture]:
    """Return the pairs of all data sets in a meta file, with their repetitions."""
    pictures: list[CaptionedPicture] = []
    for entry in json.loads(meta_path.read_text(encoding="utf-8")).values():
        root = Path(entry["root"])
        with Path(entry["annotation"]).open(encoding="utf-8") as file:
            pictures += [_picture(json.loads(line), root) for line in file] * entry["repeat_time"]
    return pictures


def _conversation(number: int, picture: CaptionedPicture, root: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"id": number, "image": str(picture.image_path.relative_to(root))}
    if picture.size:
        row["width"], row["height"] = picture.size
    if picture.origin:
        row["origin"] = picture.origin
    row["conversations"] = [
        {"from": "human", "value": f"{_PICTURE}\n{picture.prompt}"},
        {"from": "gpt", "value": picture.caption},
    ]
    return row


def _picture(row: dict[str, Any], root: Path) -> CaptionedPicture:
    question, answer = (turn["value"] for turn in row["conversations"])
    prompt = question.removeprefix(_PICTURE).strip()
    return CaptionedPicture(
        root / row["image"], answer, row.get("origin", row["image"]), prompt=prompt
    )
