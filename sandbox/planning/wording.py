"""Phrases that several messages share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf.errors import OmegaConfBaseException


def unresolved(error: OmegaConfBaseException, where: str) -> str:
    """What an interpolation that cannot be resolved is told as."""
    text = str(error).splitlines()[0]
    unknown = re.fullmatch(r"Unsupported interpolation type (\S+)", text)
    hint = near(unknown[1], ("output", "previous", "oc.env", "oc.select", "now")) if unknown else ""
    return f"{error.full_key or where}: {text}{hint}"


def near(name: str, known: Iterable[Any]) -> str:
    """A hint for a wrong name: the nearest known one, else all."""
    names = [str(item) for item in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f" (did you mean {close[0]}?)" if close else f"; there are: {', '.join(names) or 'none'}"


def unequal(where: str, lengths: Mapping[str, int]) -> str:
    """What is wrong with a job whose zipped lists have these lengths, by dotted place."""
    given = ", ".join(f"{place} has {length}" for place, length in lengths.items())
    return f"{where}.map: zipped lists have unequal lengths: {given}; `product: true` multiplies"
