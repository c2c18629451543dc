"""Phrases that messages of several rooms share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_LIST = 20


def did_you_mean(name: object, known: Iterable[object], prefix: str = "") -> str:
    """Return a hint for an unknown name: the nearest known one, and what is available.

    Args:
        name: The unknown name.
        known: The names that exist.
        prefix: Text in front of every name that is shown.
    """
    names = [str(item) for item in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    nearest = f"did you mean {prefix}{close[0]}? " if close else ""
    return f"{nearest}available: {listed(f'{prefix}{name}' for name in names)}"


def listed(names: Iterable[object]) -> str:
    """Return names as one text; of a long list the first ones and the number of all."""
    all_names = [str(name) for name in names]
    shown = ", ".join(all_names[:_LONGEST_LIST]) or "none"
    if len(all_names) > _LONGEST_LIST:
        shown += f", … ({len(all_names)} in all)"
    return shown
