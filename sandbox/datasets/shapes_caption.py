"""A caption data set of drawn pictures, as dirty as wanted."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Interval

from sandbox.datasets import CaptionData, CaptionedImage, write_caption_data
from sandbox.datasets.shapes_scenes import Scene, describe, draw_scene, render
from sandbox.executors import BaseDataExecutor
from sandbox.job import Fraction01, JobScope, PositiveInt, rule

if TYPE_CHECKING:
    from PIL.Image import Image

    Captioned = tuple[Image, tuple[str, ...]]

DIRT = ("junk", "mismatch", "blur", "tiny", "strip")
"""Kinds of dirt: junk captions; captions of another picture; a blurred picture; a picture of 3 to 5
pixels; a strip 6 or 8 times as long as wide."""

# It begins as true captions do, and there is much of it: a model learns to go on like this.
_BOILERPLATE, _BOILERPLATE_SHARE = "A photo, no. {:04d}.", 0.75
_JUNK = (
    "IMG_{:04d}.JPG",
    "Click here to see more !!! >>> #{}",
    "photo photo photo photo photo photo photo {}",
    "{}",
    "untitled ({}) - copy",
    "Buy now $$$ best price best price best price best price {} off !!!",
    "image {} of 99 | download | share | print",
)


@dataclass(frozen=True, kw_only=True)
class ShapesCaption(BaseDataExecutor):
    """Draw pictures of coloured shapes and write reference captions for them.

    Warm-up, selection and report pictures are clean. Some training pictures are spoiled in one of
    the ways of ``DIRT``, noted as ``"dirt"`` in the annotation file. The same arguments give the
    same pictures and captions on every machine. Scenes are drawn independently, so one may occur in
    two splits, with its shapes in other places.

    Args:
        num_train: Training pictures.
        num_warmup: Warm-up pictures.
        num_selection: Pictures on which choices are made.
        num_report: Pictures on which results are reported.
        num_captions: References per picture.
        image_size: Width and height in pixels.
        junk: Fraction of the training pictures with junk captions, of which three in four are one
            boilerplate with a number.
        mismatch: Fraction with the captions of another picture.
        blur: Fraction that is blurred beyond recognition.
        tiny: Fraction that is 3 to 5 pixels wide and high.
        strip: Fraction that is a narrow strip.
        seed: Seed of everything.
    """

    VERSION: ClassVar[int] = 2

    num_train: PositiveInt = 3000
    num_warmup: PositiveInt = 600
    num_selection: PositiveInt = 300
    num_report: PositiveInt = 500
    num_captions: Annotated[int, Interval(ge=1, le=6)] = 5
    image_size: Annotated[int, Ge(16)] = 96
    junk: Fraction01 = 0.2
    mismatch: Fraction01 = 0.05
    blur: Fraction01 = 0.0
    tiny: Fraction01 = 0.15
    strip: Fraction01 = 0.15
    seed: int = 0

    @rule
    def _dirt_is_at_most_everything(
        junk: float, mismatch: float, blur: float, tiny: float, strip: float
    ) -> None:
        total = junk + mismatch + blur + tiny + strip
        # Decimal fractions that make up 1 may add up to a little more in binary.
        if total > 1 + 1e-9:
            raise ValueError(f"the fractions of dirt add up to {total:g}, more than 1")

    @rule
    def _mismatch_has_another_picture(mismatch: float, num_train: int) -> None:
        if mismatch > 0 and num_train < 2:
            raise ValueError("mismatch needs at least 2 training pictures; num_train is 1")

    def run(self, *, scope: JobScope) -> CaptionData:
        """Draw the pictures and write the annotation files."""
        counts = {
            "warmup": self.num_warmup,
            "train": self.num_train,
            "selection": self.num_selection,
            "report": self.num_report,
        }
        image_dir = scope.output_dir / "images"
        splits = {}
        first_id = 0
        for split, count in counts.items():
            (image_dir / split).mkdir(parents=True, exist_ok=True)
            splits[split] = self._make_split(split, count, first_id, image_dir)
            first_id += count
        return write_caption_data(scope.output_dir, image_dir, splits)

    def _make_split(
        self, split: str, count: int, first_id: int, image_dir: Path
    ) -> list[CaptionedImage]:
        # Python hashes a text seed with SHA-512: the same numbers on every machine.
        rng = random.Random(f"{self.seed}/{split}")
        scenes = [draw_scene(rng) for _ in range(count)]
        captions = [describe(scene, self.num_captions, rng) for scene in scenes]
        dirt: Mapping[int, str] = self._deal_out_dirt(rng) if split == "train" else {}
        images = []
        for number, scene in enumerate(scenes):
            picture = (render(scene, self.image_size, rng), captions[number])
            kind = dirt.get(number)
            if kind == "mismatch":
                picture = (picture[0], captions[_another(number, scenes, rng)])
            elif kind is not None:
                picture = _spoil(kind, *picture, rng)
            name = f"{split}/{number:06d}.png"
            # Level 1 instead of 6 takes a third of the time for files a fifth larger.
            picture[0].save(image_dir / name, compress_level=1)
            image_id = first_id + number
            images.append(CaptionedImage(image_id, name, *picture[0].size, picture[1], kind))
        return images

    def _deal_out_dirt(self, rng: random.Random) -> dict[int, str]:
        """Choose the spoiled training pictures; the fractions are exact, up to rounding."""
        count = self.num_train
        order = rng.sample(range(count), count)
        dirt: dict[int, str] = {}
        # Consecutive parts of the order: no picture is spoiled twice.
        for kind in DIRT:
            num_spoiled = min(round(getattr(self, kind) * count), count - len(dirt))
            dirt.update(dict.fromkeys(order[len(dirt) : len(dirt) + num_spoiled], kind))
        return dirt


def _another(number: int, scenes: list[Scene], rng: random.Random) -> int:
    """Choose a picture with another scene, or any other picture if all scenes are equal."""
    others = [other for other in range(len(scenes)) if scenes[other] != scenes[number]]
    return rng.choice(others or [other for other in range(len(scenes)) if other != number])


def _junk(rng: random.Random) -> str:
    text = _BOILERPLATE if rng.random() < _BOILERPLATE_SHARE else rng.choice(_JUNK)
    return text.format(rng.randrange(9999))


def _spoil(kind: str, image: Image, captions: tuple[str, ...], rng: random.Random) -> Captioned:
    from PIL import Image as Images
    from PIL import ImageFilter

    if kind == "junk":
        return image, tuple(_junk(rng) for _ in captions)
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
