"""Scenes of coloured shapes: draw them at random, render them, describe them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (215, 40, 40),
    "blue": (45, 80, 215),
    "green": (40, 160, 60),
    "yellow": (240, 210, 40),
    "purple": (140, 50, 170),
    "orange": (245, 140, 30),
    "black": (25, 25, 25),
    "pink": (245, 150, 190),
}
BACKGROUNDS: dict[str, Colour] = {
    "white": (250, 250, 250),
    "gray": (165, 165, 165),
    "light blue": (200, 225, 250),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COUNTS = {2: "two", 3: "three", 4: "four"}

# Pictures are drawn larger and reduced, for smooth edges.
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Corner:
    """One shape, large or small, in a corner."""

    background: str
    colour: str
    shape: str
    is_large: bool
    vertical: str
    horizontal: str


@dataclass(frozen=True)
class Pair:
    """Two shapes; the first is to the left of the second, or above it."""

    background: str
    colour: str
    shape: str
    other_colour: str
    other_shape: str
    is_horizontal: bool


@dataclass(frozen=True)
class Group:
    """Two to four equal shapes."""

    background: str
    colour: str
    shape: str
    count: int


Scene = Corner | Pair | Group


def draw_scene(rng: random.Random) -> Scene:
    """Draw a random scene: 40 % a shape in a corner, 35 % a pair, 25 % a group."""
    background = rng.choice(list(BACKGROUNDS))
    colour = rng.choice(list(COLOURS))
    shape = rng.choice(SHAPES)
    kind = rng.random()
    if kind < 0.4:
        is_large = rng.random() < 0.5
        vertical, horizontal = rng.choice(("top", "bottom")), rng.choice(("left", "right"))
        return Corner(background, colour, shape, is_large, vertical, horizontal)
    if kind < 0.75:
        other = rng.choice([name for name in COLOURS if name != colour])
        return Pair(background, colour, shape, other, rng.choice(SHAPES), rng.random() < 0.5)
    return Group(background, colour, shape, rng.choice(list(COUNTS)))


def render(scene: Scene, image_size: int, rng: random.Random) -> Image:
    """Render a scene as a square picture; ``rng`` varies places and sizes a little."""
    from PIL import Image, ImageDraw

    size = image_size * _OVERSAMPLING
    background = BACKGROUNDS[scene.background]
    image = Image.new("RGB", (size, size), background)
    canvas = ImageDraw.Draw(image)
    for colour, shape, x, y, radius in _placed(scene, rng):
        centre = (x + rng.uniform(-0.045, 0.045)) * size, (y + rng.uniform(-0.045, 0.045)) * size
        _draw_shape(canvas, shape, COLOURS[colour], background, (*centre, radius * size))
    return image.reduce(_OVERSAMPLING)


def describe(scene: Scene, num_captions: int, rng: random.Random) -> tuple[str, ...]:
    """Return different true captions of a scene, at most six."""
    if isinstance(scene, Corner):
        sentences = _corner_sentences(scene)
    elif isinstance(scene, Pair):
        sentences = _pair_sentences(scene)
    else:
        sentences = _group_sentences(scene)
    return tuple(f"{text[0].upper()}{text[1:]}." for text in rng.sample(sentences, num_captions))


def _placed(scene: Scene, rng: random.Random) -> list[tuple[str, str, float, float, float]]:
    """Return colour, shape, centre and radius of every shape, in fractions of the picture."""
    if isinstance(scene, Corner):
        x = 0.28 if scene.horizontal == "left" else 0.72
        y = 0.28 if scene.vertical == "top" else 0.72
        return [(scene.colour, scene.shape, x, y, 0.23 if scene.is_large else 0.11)]
    if isinstance(scene, Pair):
        first, second = (0.5, 0.27), (0.5, 0.73)
        if scene.is_horizontal:
            first, second = (0.27, 0.5), (0.73, 0.5)
        return [
            (scene.colour, scene.shape, *first, rng.uniform(0.15, 0.19)),
            (scene.other_colour, scene.other_shape, *second, rng.uniform(0.15, 0.19)),
        ]
    # One shape per corner, so that shapes do not overlap.
    spots = rng.sample([(0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)], scene.count)
    return [(scene.colour, scene.shape, x, y, rng.uniform(0.13, 0.17)) for x, y in spots]


def _draw_shape(
    canvas: ImageDraw,
    shape: str,
    colour: Colour,
    background: Colour,
    place: tuple[float, float, float],
) -> None:
    x, y, r = place
    if shape == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif shape == "square":
        canvas.rectangle((x - 0.88 * r, y - 0.88 * r, x + 0.88 * r, y + 0.88 * r), fill=colour)
    elif shape == "triangle":
        canvas.polygon([(x, y - r), (x - r, y + 0.85 * r), (x + r, y + 0.85 * r)], fill=colour)
    elif shape == "star":
        reach = [r if corner % 2 == 0 else 0.42 * r for corner in range(10)]
        angles = [corner * math.pi / 5 for corner in range(10)]
        points = [
            (x + a * math.sin(t), y - a * math.cos(t)) for a, t in zip(reach, angles, strict=True)
        ]
        canvas.polygon(points, fill=colour)
    elif shape == "ring":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        canvas.ellipse((x - 0.5 * r, y - 0.5 * r, x + 0.5 * r, y + 0.5 * r), fill=background)
    else:
        canvas.rectangle((x - r, y - 0.33 * r, x + r, y + 0.33 * r), fill=colour)
        canvas.rectangle((x - 0.33 * r, y - r, x + 0.33 * r, y + r), fill=colour)


def _corner_sentences(scene: Corner) -> list[str]:
    thing = f"{'large' if scene.is_large else 'small'} {scene.colour} {scene.shape}"
    place = f"{scene.vertical} {scene.horizontal}"
    return [
        f"a {thing} in the {place} corner",
        f"a {thing} is in the {place} of the picture",
        f"there is a {thing} at the {place}",
        f"a {thing} near the {place} corner of a {scene.background} picture",
        f"the {place} corner holds a {thing}",
        f"a picture of a {thing} at the {place}",
    ]


def _pair_sentences(scene: Pair) -> list[str]:
    first = f"{_article(scene.colour)} {scene.shape}"
    second = f"{_article(scene.other_colour)} {scene.other_shape}"
    if scene.is_horizontal:
        before, after, together = "to the left of", "to the right of", "side by side"
    else:
        before, after, together = "above", "below", "one above the other"
    return [
        f"{first} {before} {second}",
        f"{second} {after} {first}",
        f"there is {first} {before} {second}",
        f"{first} is {before} {second} on a {scene.background} background",
        f"{first} and {second} {together}",
        f"a picture with {first} {before} {second}",
    ]


def _group_sentences(scene: Group) -> list[str]:
    shapes = scene.shape + ("es" if scene.shape.endswith("s") else "s")
    things = f"{COUNTS[scene.count]} {scene.colour} {shapes}"
    return [
        f"{things} on a {scene.background} background",
        f"there are {things}",
        f"{things} in the picture",
        f"a picture of {things}",
        f"a group of {things} on {scene.background}",
        f"{COUNTS[scene.count]} {shapes} that are all {scene.colour}",
    ]


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
