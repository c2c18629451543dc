"""A caption data set that the project draws itself, with as much dirt as wanted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sandbox.datasets import CAPTION_OUTPUTS, CaptionedImage, write_splits
from sandbox.datasets.shapes_scenes import Scene, describe, draw_scene, render
from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs

if TYPE_CHECKING:
    from PIL.Image import Image

    Captioned = tuple[Image, tuple[str, ...]]

DIRT = ("junk", "mismatch", "blur", "tiny", "strip")
"""Junk captions; captions of another picture; a blurred picture; one of 3 to 5 pixels; a strip 6 or 8 times
as long as wide."""

_MOST_CAPTIONS = 6
_JUNK = (
    "IMG_{:04d}.JPG",
    "Click here to see more !!! >>> #{}",
    "photo photo photo photo photo photo photo {}",
    "{}",
    "untitled ({}) - copy",
    "Buy now $$$ best price best price best price best price {} off !!!",
    "image {} of 99 | download | share | print",
)


class ShapesCaption(BaseDataExecutor):
    """Draw pictures of coloured shapes and write reference captions for them.

    Warm-up, selection and report pictures are clean; a fraction of the training pictures is spoiled
    in one of the ways of ``DIRT``, noted as ``"dirt"`` in the picture's entry of the annotation file.
    The same arguments give the same pictures and captions everywhere. Scenes are drawn independently, so
    a scene may come back in another split, with its shapes elsewhere.

    Args:
        num_train: Training pictures.
        num_warmup: Warm-up pictures.
        num_selection: Pictures that choices are made on.
        num_report: Pictures that results are reported on.
        num_captions: References a picture, 1 to 6.
        image_size: Width and height in pixels, at least 16.
        junk: Fraction of the training pictures with junk captions.
        mismatch: Fraction with the captions of another picture.
        blur: Fraction that is blurred beyond recognition.
        tiny: Fraction that is 3 to 5 pixels wide and high.
        strip: Fraction that is a narrow strip.
        seed: Seed of everything.

    Raises:
        ValueError: A count, size or fraction is out of its range.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = CAPTION_OUTPUTS

    def __init__(
        self,
        num_train: int = 3000,
        num_warmup: int = 600,
        num_selection: int = 300,
        num_report: int = 500,
        num_captions: int = 5,
        image_size: int = 96,
        junk: float = 0.2,
        mismatch: float = 0.05,
        blur: float = 0.0,
        tiny: float = 0.15,
        strip: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.counts = {
            "warmup": num_warmup,
            "train": num_train,
            "selection": num_selection,
            "report": num_report,
        }
        self.num_captions = num_captions
        self.image_size = image_size
        self.dirt = {"junk": junk, "mismatch": mismatch, "blur": blur, "tiny": tiny, "strip": strip}
        self.seed = seed
        self._check_arguments()

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        image_dir = output_dir / "images"
        splits = []
        first_id = 0
        for split, count in self.counts.items():
            (image_dir / split).mkdir(parents=True, exist_ok=True)
            splits.append((split, self._make_split(split, first_id, image_dir)))
            first_id += count
        return {**write_splits(output_dir, splits), "image_dir": image_dir}

    def _check_arguments(self) -> None:
        for split, count in self.counts.items():
            if count < 1:
                raise ValueError(f"num_{split} is {count}; expected at least 1")
        if not 1 <= self.num_captions <= _MOST_CAPTIONS:
            raise ValueError(f"num_captions is {self.num_captions}; expected 1 to {_MOST_CAPTIONS}")
        if self.image_size < 16:
            raise ValueError(f"image_size is {self.image_size}; expected at least 16 pixels")
        for kind, fraction in self.dirt.items():
            if not 0 <= fraction <= 1:
                raise ValueError(f"{kind} is {fraction}; expected a fraction from 0 to 1")
        if sum(self.dirt.values()) > 1 + 1e-9:
            given = ", ".join(f"{kind} {fraction}" for kind, fraction in self.dirt.items())
            raise ValueError(f"the fractions of dirt add up to more than 1: {given}")
        if self.dirt["mismatch"] > 0 and self.counts["train"] < 2:
            raise ValueError("mismatch needs at least 2 training pictures; num_train is 1")

    def _make_split(self, split: str, first_id: int, image_dir: Path) -> list[CaptionedImage]:
        # A text as seed goes through SHA-512: the same numbers on every machine and in every process.
        rng = random.Random(f"{self.seed}/{split}")
        scenes = [draw_scene(rng) for _ in range(self.counts[split])]
        captions = [describe(scene, self.num_captions, rng) for scene in scenes]
        dirt = self._deal_out_dirt(len(scenes), rng) if split == "train" else {}
        images = []
        for number, scene in enumerate(scenes):
            picture = (render(scene, self.image_size, rng), captions[number])
            kind = dirt.get(number)
            if kind == "mismatch":
                picture = (picture[0], captions[_another(number, scenes, rng)])
            elif kind is not None:
                picture = _spoil(kind, *picture, rng)
            file_name = f"{split}/{number:06d}.png"
            # Level 1 instead of 6 takes a third of the time for files a fifth larger.
            picture[0].save(image_dir / file_name, compress_level=1)
            notes = (("dirt", kind),) if kind else ()
            images.append(
                CaptionedImage(first_id + number, file_name, *picture[0].size, picture[1], notes)
            )
        return images

    def _deal_out_dirt(self, count: int, rng: random.Random) -> dict[int, str]:
        """Which pictures are spoiled, and how; the fractions are kept exactly, up to rounding."""
        order = rng.sample(range(count), count)
        dirt: dict[int, str] = {}
        for kind in DIRT:
            num_spoiled = min(round(self.dirt[kind] * count), count - len(dirt))
            dirt.update(dict.fromkeys(order[len(dirt) : len(dirt) + num_spoiled], kind))
        return dirt


def _another(number: int, scenes: list[Scene], rng: random.Random) -> int:
    """The number of a picture with another scene, or of any other picture where there is none."""
    others = [other for other in range(len(scenes)) if scenes[other] != scenes[number]]
    return rng.choice(others or [other for other in range(len(scenes)) if other != number])


def _spoil(kind: str, image: Image, captions: tuple[str, ...], rng: random.Random) -> Captioned:
    from PIL import Image as Images
    from PIL import ImageFilter

    if kind == "junk":
        return image, tuple(rng.choice(_JUNK).format(rng.randrange(9999)) for _ in captions)
    if kind == "blur":
        return image.filter(ImageFilter.GaussianBlur(image.width * 0.16)), captions
    if kind == "tiny":
        side = rng.choice((3, 4, 5))
        return image.resize((side, side), Images.Resampling.BOX), captions
    length, width = image.width, image.width // rng.choice((6, 8))
    start = rng.randrange(length - width)
    is_wide = rng.random() < 0.5
    box = (0, start, length, start + width) if is_wide else (start, 0, start + width, length)
    return image.crop(box), captions
