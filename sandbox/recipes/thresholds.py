"""The arguments of Data-Juicer's filters that bound a statistic, and their legal ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from sandbox.recipes import as_mapping
from sandbox.recipes.operators import operator_name

Kind = Literal["float", "int", "bytes", "fraction"]

_DIGITS = 1e9
_INF = math.inf
_SIZE = re.compile(r"(\d+)(?:([kmgtpezy])i?b)?")
_DECIDING = ("any_or_all", "min_closed_interval", "max_closed_interval", "reversed_range")
"""Arguments of filters that decide together with the thresholds which samples stay."""


@dataclass(frozen=True)
class Threshold:
    """A statistic and the arguments that bound it.

    Args:
        statistic: Name of the statistic, as in ``__dj__stats__``.
        minimum: Argument of the lower side; ``None`` if the operator has none.
        maximum: Argument of the upper side; ``None`` if the operator has none.
        lowest: Smallest legal value.
        highest: Largest legal value.
        kind: Type of the arguments: a number, a whole number, a text of bytes or a text that is
            a fraction.
    """

    statistic: str
    minimum: str | None
    maximum: str | None
    lowest: float = 0.0
    highest: float = _INF
    kind: Kind = "float"

    def at_least(self, value: float) -> float | int | str:
        """Return the lower argument, rounded down: no sample at the bound is lost by rounding."""
        value = min(max(value, self.lowest), self.highest)
        if self.kind in ("int", "bytes"):
            return self._written(math.floor(value))
        # One digit outward: a product with _DIGITS is itself rounded.
        return self._written(max(math.floor(value * _DIGITS - 1) / _DIGITS, self.lowest))

    def at_most(self, value: float) -> float | int | str:
        """Return the upper argument, rounded up: no sample at the bound is lost by rounding."""
        value = min(max(value, self.lowest), self.highest)
        if self.kind in ("int", "bytes"):
            return self._written(math.ceil(value))
        return self._written(min(math.ceil(value * _DIGITS + 1) / _DIGITS, self.highest))

    def number(self, value: Any) -> float | None:
        """Return a value of either argument as a number; ``None`` if it is not one."""
        text = str(value).replace(":", "/")
        if self.kind == "bytes":
            size = _SIZE.fullmatch(text.lower().replace(" ", ""))
            power = " kmgtpezy".index(size[2] or " ") if size else 0
            return float(size[1]) * 1024**power if size else None
        try:
            return float(Fraction(text))
        except (ValueError, ZeroDivisionError):
            return None

    def _written(self, value: float | int) -> float | int | str:
        return str(value) if self.kind in ("bytes", "fraction") else value


def _between(
    statistic: str,
    argument: str,
    *,
    lowest: float = 0.0,
    highest: float = _INF,
    kind: Kind = "float",
) -> Threshold:
    return Threshold(statistic, f"min_{argument}", f"max_{argument}", lowest, highest, kind)


def _ratio(statistic: str) -> tuple[Threshold]:
    return (_between(statistic, "ratio", highest=1.0),)


def _score(statistic: str) -> tuple[Threshold]:
    return (_between(statistic, "score", highest=1.0),)


def _whole(statistic: str, argument: str) -> tuple[Threshold]:
    return (_between(statistic, argument, kind="int"),)


def _shape(medium: str) -> tuple[Threshold, Threshold]:
    width = _between(f"{medium}_width", "width", lowest=1, kind="int")
    return width, _between(f"{medium}_height", "height", lowest=1, kind="int")


THRESHOLDS: Mapping[str, tuple[Threshold, ...]] = {
    # text
    "alphanumeric_filter": _ratio("alnum_ratio"),
    "average_line_length_filter": _whole("avg_line_length", "len"),
    "character_repetition_filter": _ratio("char_rep_ratio"),
    "flagged_words_filter": _ratio("flagged_words_ratio"),
    "language_id_score_filter": (Threshold("lang_score", "min_score", None, highest=1.0),),
    "maximum_line_length_filter": _whole("max_line_length", "len"),
    "perplexity_filter": (_between("perplexity", "ppl"),),
    "special_characters_filter": _ratio("special_char_ratio"),
    "stopwords_filter": _ratio("stopwords_ratio"),
    "text_length_filter": _whole("text_len", "len"),
    "token_num_filter": _whole("num_token", "num"),
    "word_repetition_filter": _ratio("word_rep_ratio"),
    "words_num_filter": _whole("num_words", "num"),
    # images
    "image_aesthetics_filter": _score("image_aesthetics_scores"),
    "image_aspect_ratio_filter": (_between("aspect_ratios", "ratio"),),
    "image_face_count_filter": _whole("face_counts", "face_count"),
    "image_face_ratio_filter": _ratio("face_ratios"),
    "image_nsfw_filter": _score("image_nsfw_score"),
    "image_shape_filter": _shape("image"),
    "image_size_filter": (_between("image_sizes", "size", kind="bytes"),),
    "image_text_matching_filter": _score("image_text_matching_score"),
    "image_text_similarity_filter": _score("image_text_similarity"),
    # audio
    "audio_duration_filter": _whole("audio_duration", "duration"),
    "audio_size_filter": (_between("audio_sizes", "size", kind="bytes"),),
    # video
    "video_aesthetics_filter": _score("video_frames_aesthetics_score"),
    "video_aspect_ratio_filter": (
        _between("video_aspect_ratios", "ratio", lowest=1e-6, kind="fraction"),
    ),
    "video_duration_filter": (_between("video_duration", "duration"),),
    "video_frames_text_similarity_filter": _score("video_frames_text_similarity"),
    "video_motion_score_filter": (_between("video_motion_score", "score"),),
    "video_nsfw_filter": _score("video_nsfw_score"),
    "video_resolution_filter": _shape("video"),
}
"""Thresholds of every operator that keeps samples between two bounds.

``image_subplot_filter`` is not here: its ``min_…`` arguments define a subplot, not a bound.
``specified_field_filter`` and ``specified_numeric_field_filter`` record no statistic.
"""


def thresholds(operator: str, arguments: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """Return the thresholds of an operator with these arguments; none for other operators."""
    if operator == "alphanumeric_filter" and arguments.get("tokenization"):
        return (_between("alpha_token_ratio", "ratio"),)  # letters per token
    return THRESHOLDS.get(operator, ())


def probed_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without the arguments that only decide which samples stay.

    These do not change the statistics of a sample. They stay where they are not known: for
    operators without an entry in ``THRESHOLDS``, and for all operators if some of the user's own
    may replace Data-Juicer's (``custom_operator_paths``).

    Args:
        recipe: Data-Juicer's own keys; never edited.
    """
    process = as_mapping(recipe)
    if not recipe.get("custom_operator_paths"):
        process = {key: _without_thresholds(key, given) for key, given in process.items()}
    return {**recipe, "process": process}


def _without_thresholds(key: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    known = thresholds(operator_name(key), arguments)
    if not known:
        return dict(arguments)
    bounds = {side for each in known for side in (each.minimum, each.maximum)}
    return {
        name: value
        for name, value in arguments.items()
        if name not in bounds and name not in _DECIDING
    }
