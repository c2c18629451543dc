"""The arguments of Data-Juicer's filters that bound a statistic, and their legal ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["float", "int", "bytes", "fraction"]

_DIGITS = 1e9
_INF = math.inf


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

    def _written(self, value: float | int) -> float | int | str:
        return str(value) if self.kind in ("bytes", "fraction") else value


def _ratio(statistic: str) -> tuple[Threshold, ...]:
    return (Threshold(statistic, "min_ratio", "max_ratio", highest=1.0),)


def _score(statistic: str) -> tuple[Threshold, ...]:
    return (Threshold(statistic, "min_score", "max_score", highest=1.0),)


def _length(statistic: str) -> tuple[Threshold, ...]:
    return (Threshold(statistic, "min_len", "max_len", kind="int"),)


def _number(statistic: str) -> tuple[Threshold, ...]:
    return (Threshold(statistic, "min_num", "max_num", kind="int"),)


def _size(statistic: str) -> tuple[Threshold, ...]:
    return (Threshold(statistic, "min_size", "max_size", kind="bytes"),)


def _shape(width: str, height: str) -> tuple[Threshold, ...]:
    return (
        Threshold(width, "min_width", "max_width", lowest=1, kind="int"),
        Threshold(height, "min_height", "max_height", lowest=1, kind="int"),
    )


THRESHOLDS: Mapping[str, tuple[Threshold, ...]] = {
    # text
    "alphanumeric_filter": _ratio("alnum_ratio"),
    "average_line_length_filter": _length("avg_line_length"),
    "character_repetition_filter": _ratio("char_rep_ratio"),
    "flagged_words_filter": _ratio("flagged_words_ratio"),
    "language_id_score_filter": (Threshold("lang_score", "min_score", None, highest=1.0),),
    "maximum_line_length_filter": _length("max_line_length"),
    "perplexity_filter": (Threshold("perplexity", "min_ppl", "max_ppl"),),
    "special_characters_filter": _ratio("special_char_ratio"),
    "stopwords_filter": _ratio("stopwords_ratio"),
    "text_length_filter": _length("text_len"),
    "token_num_filter": _number("num_token"),
    "word_repetition_filter": _ratio("word_rep_ratio"),
    "words_num_filter": _number("num_words"),
    # images
    "image_aesthetics_filter": _score("image_aesthetics_scores"),
    "image_aspect_ratio_filter": (Threshold("aspect_ratios", "min_ratio", "max_ratio"),),
    "image_face_count_filter": (
        Threshold("face_counts", "min_face_count", "max_face_count", kind="int"),
    ),
    "image_face_ratio_filter": _ratio("face_ratios"),
    "image_nsfw_filter": _score("image_nsfw_score"),
    "image_shape_filter": _shape("image_width", "image_height"),
    "image_size_filter": _size("image_sizes"),
    "image_text_matching_filter": _score("image_text_matching_score"),
    "image_text_similarity_filter": _score("image_text_similarity"),
    # audio
    "audio_duration_filter": (
        Threshold("audio_duration", "min_duration", "max_duration", kind="int"),
    ),
    "audio_size_filter": _size("audio_sizes"),
    # video
    "video_aesthetics_filter": _score("video_frames_aesthetics_score"),
    "video_aspect_ratio_filter": (
        Threshold("video_aspect_ratios", "min_ratio", "max_ratio", lowest=1e-6, kind="fraction"),
    ),
    "video_duration_filter": (Threshold("video_duration", "min_duration", "max_duration"),),
    "video_frames_text_similarity_filter": _score("video_frames_text_similarity"),
    "video_motion_score_filter": (Threshold("video_motion_score", "min_score", "max_score"),),
    "video_nsfw_filter": _score("video_nsfw_score"),
    "video_resolution_filter": _shape("video_width", "video_height"),
}
"""Thresholds of every operator that keeps samples between two bounds.

``image_subplot_filter`` is not here: its ``min_…`` arguments define a subplot, not a bound.
``specified_field_filter`` and ``specified_numeric_field_filter`` record no statistic.
"""


def thresholds(operator: str, arguments: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """Return the thresholds of an operator with these arguments; none for other operators."""
    if operator == "alphanumeric_filter" and arguments.get("tokenization"):
        return (Threshold("alpha_token_ratio", "min_ratio", "max_ratio"),)  # letters per token
    return THRESHOLDS.get(operator, ())
