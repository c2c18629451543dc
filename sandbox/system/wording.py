"""Phrases that messages of several rooms share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_LIST = 20


def nearest(name: object, known: Iterable[object], cutoff: float = 0.6) -> str:
    """Return the known name that is most like ``name``; empty text if none is like it.

    Args:
        name: The name to compare with.
        known: The names that exist.
        cutoff: Smallest similarity, from 0 to 1, as of ``difflib``.
    """
    close = difflib.get_close_matches(str(name), map(str, known), n=1, cutoff=cutoff)
    return close[0] if close else ""


def counted(number: int, noun: str) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(name: object, known: Iterable[object], prefix: str = "") -> str:
    """Return a hint for an unknown name: the nearest known one, and what is available.

    Args:
        name: The unknown name.
        known: The names that exist.
        prefix: Text in front of every name that is shown.
    """
    names = [str(item) for item in known]
    close = nearest(name, names)
    question = f"did you mean {prefix}{close}? " if close else ""
    return f"{question}available: {listed(f'{prefix}{name}' for name in names)}"


def listed(names: Iterable[object]) -> str:
    """Return names as one text; of a long list the first ones and the number of all."""
    all_names = [str(name) for name in names]
    shown = ", ".join(all_names[:_LONGEST_LIST]) or "none"
    if len(all_names) > _LONGEST_LIST:
        shown += f", … ({len(all_names)} in all)"
    return shown
