"""Context infos: the outputs of finished jobs, and the references that read them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_REFERENCE = re.compile(r"\$\{(output|previous):([^,}\s]+)(?:,(.*))?\}", re.DOTALL)
_INSIDE = re.compile(r"\$\{output:([^,}\s]+)\}")
_ANY = re.compile(r"\$\{(output|previous):")


@dataclass(frozen=True)
class Reference:
    """``${output:job.key}`` or ``${previous:job.key, initial}``, taken apart.

    ``initial`` is ``None`` where none was given; it may hold references itself.
    """

    job: str
    keys: tuple[str, ...]
    previous: bool = False
    initial: Any = None

    def __str__(self) -> str:
        kind = "previous" if self.previous else "output"
        return f"${{{kind}:{'.'.join((self.job, *self.keys))}}}"


def parse(text: str) -> Reference | None:
    """The reference that is the whole of ``text``, else ``None``."""
    match = _REFERENCE.fullmatch(text)
    if match is None or (match[1] == "output" and match[3]):
        return None
    try:
        initial = json.loads(match[3]) if match[3] else None
    except ValueError:  # several references in one text
        return None
    job, *keys = match[2].split(".")
    return Reference(job, tuple(keys), match[1] == "previous", initial)


def references(value: Any) -> Iterator[Reference]:
    """Every reference inside ``value``, initial values included."""
    if isinstance(value, Mapping):
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)
    elif isinstance(value, str):
        reference = parse(value)
        if reference is not None:
            yield reference
            yield from references(reference.initial)
        else:
            for name in _INSIDE.findall(value):
                job, *keys = name.split(".")
                yield Reference(job, tuple(keys))


def available(reference: Reference, made: Mapping[str, Iterable[str]]) -> str:
    """What a reference to nothing may have meant: an output of its job, or another job where that is none.

    Args:
        reference: The reference.
        made: Names of outputs by job.
    """
    key = reference.keys[0] if reference.keys else ""
    outputs = {job: list(names) for job, names in made.items()}
    if reference.job in outputs:
        close = difflib.get_close_matches(key, outputs[reference.job], n=1)
        near = f"{reference.job}.{close[0]}" if close else ""
        names = [f"{reference.job}.{name}" for name in outputs[reference.job]]
    else:
        close = difflib.get_close_matches(reference.job, outputs, n=1)
        near = f"{close[0]}.{key}" if close and key in outputs[close[0]] else "".join(close)
        names = list(outputs)
    hint = f" (did you mean {near}?)" if near else ""
    return f"{hint}; available: {', '.join(names) or 'none'}"


def unreadable(value: Any) -> Iterator[str]:
    """Texts inside ``value`` with a reference that nothing would replace."""
    if isinstance(value, Mapping):
        for child in value.values():
            yield from unreadable(child)
    elif isinstance(value, list):
        for child in value:
            yield from unreadable(child)
    elif isinstance(value, str) and parse(value) is None and _ANY.search(_INSIDE.sub("", value)):
        yield value
