"""COCO caption annotations into the sandbox's data pools, and from there into InternVL's format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.executors import BaseDataExecutor
from sandbox.executors.internvl_data import PROMPT
from sandbox.job import JobScope, NonEmptyText, PositiveInt
from sandbox.samples import SampleError, first_of, media_of, read_coco, read_samples
from sandbox.system.files import require_regular
from sandbox.workers.internvl_conversations import CaptionedPicture, write_conversations

IMAGE_TOKEN = "<__dj__image>"  # noqa: S105  not a password
"""Place of a picture in the text of a Data-Juicer sample."""


@dataclass(frozen=True, kw_only=True)
class ConvertedDataset:
    """A data pool.

    Args:
        dataset_path: The pool, JSON Lines.
    """

    dataset_path: Path


@dataclass(frozen=True, kw_only=True)
class InternVLMeta:
    """A data set as InternVL's own fine-tuning scripts read it.

    Args:
        meta_path: The meta file; it names the conversations beside it.
    """

    meta_path: Path


@dataclass(frozen=True, kw_only=True)
class COCOCaptionToDJConversion(BaseDataExecutor):
    """Turn COCO caption annotations into a Data-Juicer data set, one sample per caption.

    A sample: ``{"id": "17", "text": "<__dj__image> A red circle.", "images": ["/…/3.png"],
    "caption": "A red circle.", "image_id": 3}``; ``id`` is the annotation's.

    Args:
        annotation_path: COCO caption annotations.
        image_dir: Folder that the annotations' ``file_name`` are relative to.
    """

    annotation_path: Path
    image_dir: Path

    def run(self, *, scope: JobScope) -> ConvertedDataset:
        """Write the data set.

        Raises:
            ValueError: The file is no caption annotation file, a caption is missing or empty, an
                annotation is for an unknown picture, a picture has no caption, an id comes twice,
                or a picture's file is missing.
        """
        coco = read_coco(self.annotation_path)
        coco.require_captions()
        paths = {
            image_id: (self.image_dir / name).absolute() for image_id, name in coco.images.items()
        }
        missing = [path for path in paths.values() if not path.is_file()]
        if missing:
            raise ValueError(
                f"{self.annotation_path}: {len(missing)} of {len(paths)} pictures are missing, "
                f"the first: {first_of(missing)}"
            )
        dataset_path = scope.output_dir / "dataset.jsonl"
        with dataset_path.open("w", encoding="utf-8") as file:
            for annotation in coco.captions:
                sample = {
                    "id": str(annotation.id),
                    "text": f"{IMAGE_TOKEN} {annotation.caption}",
                    "images": [str(paths[annotation.image_id])],
                    "caption": annotation.caption,
                    "image_id": annotation.image_id,
                }
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")
        return ConvertedDataset(dataset_path=dataset_path)


@dataclass(frozen=True, kw_only=True)
class COCOCaptionMetaGeneration(BaseDataExecutor):
    """Write a data pool of picture–caption pairs as InternVL's own fine-tuning scripts read it.

    That is a meta file, ``{name: {"root", "annotation", "data_augment", "max_dynamic_patch",
    "repeat_time", "length"}}``, and beside it the conversations, JSON Lines.

    Args:
        dataset_path: Samples as :class:`COCOCaptionToDJConversion` writes them, filtered or not.
        image_dir: Folder that the pictures' paths are written relative to.
        name: Name of the data set in the meta file.
        max_dynamic_patch: Most tiles a picture is cut into.
        repeat_time: How often an epoch goes through the data set.

    Source: InternVL, ``internvl_chat/shell/data/coco_caption.json`` and the fine-tuning guide.
    """

    dataset_path: Path
    image_dir: Path
    name: NonEmptyText = "coco_caption"
    max_dynamic_patch: PositiveInt = 6
    repeat_time: PositiveInt = 1

    def run(self, *, scope: JobScope) -> InternVLMeta:
        """Write both files.

        Raises:
            SampleError: The pool is empty, or a sample has no single picture in ``image_dir``, no
                caption, or a picture that cannot be decoded.
        """
        meta_path = scope.output_dir / "meta.json"
        root = self.image_dir.absolute()
        write_conversations(
            meta_path,
            self.name,
            _pictures(self.dataset_path, root),
            root,
            repeat_time=self.repeat_time,
            max_dynamic_patch=self.max_dynamic_patch,
        )
        return InternVLMeta(meta_path=meta_path)


def _pictures(dataset_path: Path, root: Path) -> Iterator[CaptionedPicture]:
    for number, sample in read_samples(dataset_path, with_stats=False):
        yield _picture(sample, dataset_path, number, root)


def _picture(
    sample: Mapping[str, Any], dataset_path: Path, number: int, root: Path
) -> CaptionedPicture:
    from PIL import Image

    images = media_of(sample, "images", dataset_path, number)
    caption = str(sample.get("caption") or "").strip()
    if len(images) != 1 or not caption:
        found = f"{len(images)} pictures and {'a' if caption else 'no'} caption"
        raise SampleError.at(
            dataset_path,
            number,
            f"sample {sample.get('id')!r} has {found}; expected one picture and a caption",
        )
    path = Path(images[0])
    if not path.is_relative_to(root):
        raise SampleError.at(dataset_path, number, f"picture {path} is not in image_dir, {root}")
    require_regular(path)
    try:
        with Image.open(path) as image:
            size = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # PIL's message ends with a long path; the cause is in the traceback's chain
        reason = f"picture {path.relative_to(root)} cannot be decoded ({type(error).__name__})"
        raise SampleError.at(dataset_path, number, reason) from error
    return CaptionedPicture(path, caption, prompt=PROMPT, size=size)
