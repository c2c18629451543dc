"""COCO caption annotations into the sandbox's data set format, and from there into InternVL's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs

IMAGE_TOKEN = "<__dj__image>"
"""Stands for a picture in the text of a Data-Juicer sample."""

_PROMPT = "<image>\nProvide a one-sentence caption for the provided image."
_NAMED_AT_MOST = 5


class COCOCaptionToDJConversion(BaseDataExecutor):
    """Turn COCO caption annotations into a Data-Juicer data set, one sample per picture and caption.

    A sample: ``{"id": "17", "text": "<__dj__image> A red circle.", "images": ["/…/3.png"],
    "caption": "A red circle.", "image_id": 3}``; ``id`` is the annotation's.

    Args:
        annotation_path: COCO caption annotations.
        image_dir: Folder that the annotations' ``file_name`` are relative to.

    Raises:
        ValueError: The file is no caption annotation file, a caption is missing or empty, an annotation
            is for an unknown picture, a picture has no caption, an id comes twice, or a picture's file
            is missing.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path",)

    def __init__(self, annotation_path: Path, image_dir: Path) -> None:
        self.annotation_path = annotation_path
        self.image_dir = image_dir

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        images, annotations = _read_coco(self.annotation_path)
        paths = {image_id: (self.image_dir / name).absolute() for image_id, name in images.items()}
        _check_files(paths.values(), self.annotation_path)
        dataset_path = output_dir / "dataset.jsonl"
        with dataset_path.open("w", encoding="utf-8") as file:
            for annotation in annotations:
                caption = annotation["caption"].strip()
                sample = {
                    "id": str(annotation["id"]),
                    "text": f"{IMAGE_TOKEN} {caption}",
                    "images": [str(paths[annotation["image_id"]])],
                    "caption": caption,
                    "image_id": annotation["image_id"],
                }
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")
        return {"dataset_path": dataset_path}


class COCOCaptionMetaGeneration(BaseDataExecutor):
    """Write a data set of picture–caption pairs as InternVL's own fine-tuning scripts read it.

    That is a meta file, ``{name: {"root", "annotation", "data_augment", "max_dynamic_patch", "repeat_time",
    "length"}}``, and beside it the conversations, JSON Lines.

    Args:
        dataset_path: Samples as :class:`COCOCaptionToDJConversion` writes them, filtered or not.
        image_dir: Folder that the pictures' paths are written relative to.
        name: Name of the data set in the meta file.
        max_dynamic_patch: Most tiles a picture is cut into.
        repeat_time: How often an epoch goes through the data set.

    Raises:
        ValueError: The data set is empty, or a sample has no single picture in ``image_dir``, no caption,
            or a picture that cannot be decoded.

    Source: InternVL, ``internvl_chat/shell/data/coco_caption.json`` and the fine-tuning guide.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("meta_path",)

    def __init__(
        self,
        dataset_path: Path,
        image_dir: Path,
        name: str = "coco_caption",
        max_dynamic_patch: int = 6,
        repeat_time: int = 1,
    ) -> None:
        if max_dynamic_patch < 1 or repeat_time < 1:
            given = f"max_dynamic_patch {max_dynamic_patch}, repeat_time {repeat_time}"
            raise ValueError(f"{given}; expected at least 1 for both")
        self.dataset_path = dataset_path
        self.image_dir = image_dir
        self.name = name
        self.max_dynamic_patch = max_dynamic_patch
        self.repeat_time = repeat_time

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        conversations_path = (output_dir / f"{self.name}.jsonl").absolute()
        root = self.image_dir.absolute()
        length = 0
        with conversations_path.open("w", encoding="utf-8") as file:
            for conversation in _conversations(self.dataset_path, root):
                file.write(json.dumps(conversation, ensure_ascii=False) + "\n")
                length += 1
        if length == 0:
            raise ValueError(f"{self.dataset_path} has no samples")
        entry = {
            "root": f"{root}/",
            "annotation": str(conversations_path),
            "data_augment": False,
            "max_dynamic_patch": self.max_dynamic_patch,
            "repeat_time": self.repeat_time,
            "length": length,
        }
        meta_path = output_dir / "meta.json"
        meta_path.write_text(
            json.dumps({self.name: entry}, indent=2, ensure_ascii=False), encoding="utf-8"
        )
        return {"meta_path": meta_path}


def _read_coco(path: Path) -> tuple[dict[Any, str], list[dict[str, Any]]]:
    """File name by picture id, and the checked annotations."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image["file_name"] for image in content["images"]}
        annotations: list[dict[str, Any]] = content["annotations"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        expected = (
            '{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}'
        )
        raise ValueError(f"{path} is no COCO caption file, {expected}: {error!r}") from error
    if not annotations:
        raise ValueError(f"{path} has no annotations")
    if len(images) != len(content["images"]):
        raise ValueError(
            f"{path}: {len(content['images']) - len(images)} pictures have an id that came before"
        )
    _check_annotations(path, images, annotations)
    return images, annotations


def _check_annotations(
    path: Path, images: dict[Any, str], annotations: list[dict[str, Any]]
) -> None:
    seen = set()
    for annotation in annotations:
        place = f"{path}: annotation {annotation.get('id', annotation)}"
        missing = [key for key in ("id", "image_id", "caption") if key not in annotation]
        if missing:
            raise ValueError(f"{place} has no {' and no '.join(missing)}")
        if annotation["id"] in seen:
            raise ValueError(f"{place} comes twice")
        seen.add(annotation["id"])
        if annotation["image_id"] not in images:
            raise ValueError(
                f"{place} is for picture {annotation['image_id']!r}, which the file does not list"
            )
        if not isinstance(annotation["caption"], str) or not annotation["caption"].strip():
            raise ValueError(f"{place} (picture {annotation['image_id']!r}) has an empty caption")
    bare = sorted(images.keys() - {annotation["image_id"] for annotation in annotations}, key=str)
    if bare:
        raise ValueError(f"{path}: {len(bare)} pictures have no caption, the first: {_first(bare)}")


def _check_files(paths: Collection[Path], annotation_path: Path) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        count = f"{len(missing)} of {len(paths)} pictures"
        raise ValueError(f"{annotation_path}: {count} are missing, the first: {_first(missing)}")


def _conversations(dataset_path: Path, root: Path) -> Iterator[dict[str, Any]]:
    with dataset_path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield _conversation(number, json.loads(line), root)
            except (ValueError, OSError, TypeError, AttributeError) as error:
                raise ValueError(f"{dataset_path}, line {number}: {error}") from error


def _conversation(number: int, sample: dict[str, Any], root: Path) -> dict[str, Any]:
    from PIL import Image

    images = sample.get("images") or []
    caption = str(sample.get("caption") or "").strip()
    if len(images) != 1 or not caption:
        found = f"{len(images)} pictures and {'a' if caption else 'no'} caption"
        raise ValueError(
            f"sample {sample.get('id')!r} has {found}; expected one picture and a caption"
        )
    with Image.open(images[0]) as image:
        width, height = image.size
    return {
        "id": number - 1,
        "image": str(Path(images[0]).relative_to(root)),
        "width": width,
        "height": height,
        "conversations": [{"from": "human", "value": _PROMPT}, {"from": "gpt", "value": caption}],
    }


def _first(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values[:_NAMED_AT_MOST])
