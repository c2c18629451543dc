"""References to outputs of jobs: ``${output:job.key}`` and ``${previous:job.key, initial}``.

They are parsed once, where a job's config is read. From then on a text that is one reference is a
:class:`Reference`, a text with references inside is a :class:`Template`, and ordinary text is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.tree import leaves, mapped
from sandbox.components.values import Pending
from sandbox.system.wording import did_you_mean

_WHOLE = re.compile(r"\$\{(output|previous):([^,}\s]+)(?:,(.*))?\}", re.DOTALL)
_INSIDE = re.compile(r"\$\{output:([^,}\s]+)\}")
_ANY = re.compile(r"\$\{(output|previous):")


@dataclass(frozen=True)
class Reference(Pending):
    """An output of an earlier job, or of the last iteration.

    Args:
        job: Name of the job.
        keys: Keys of the output, outermost first; an index of a list is a key too.
        previous: True for an output of the last iteration.
        initial: Value in the first iteration; may hold references itself.
    """

    job: str
    keys: tuple[str, ...]
    previous: bool = False
    initial: Any = None

    def __str__(self) -> str:
        kind = "previous" if self.previous else "output"
        return f"${{{kind}:{'.'.join((self.job, *self.keys))}}}"

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def named(cls, name: str) -> Reference:
        """Return the reference to ``job.key``."""
        job, *keys = name.split(".")
        return cls(job, tuple(keys))


@dataclass(frozen=True)
class Template(Pending):
    """A text with references inside.

    Args:
        pieces: Plain pieces and references, in order.
    """

    pieces: tuple[str | Reference, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.pieces))

    def __repr__(self) -> str:
        return repr(str(self))


def parse(text: str) -> str | Reference | Template:
    """Return a text, or the reference or template that it spells.

    Raises:
        ValueError: It holds a reference that nothing would replace.
    """
    if not _ANY.search(text):
        return text
    reference = _parse_whole(text)
    if reference is not None:
        return reference
    if _ANY.search(_INSIDE.sub("", text)):
        raise ValueError(f"cannot read {text!r}: ${{previous:…}} must be the whole value")
    pieces = []
    for index, piece in enumerate(_INSIDE.split(text)):  # every second piece is a name
        pieces.append(Reference.named(piece) if index % 2 else piece)
    return Template(tuple(piece for piece in pieces if piece != ""))


def parse_all(value: Any) -> Any:
    """Return a copy of plain data with its references parsed.

    Raises:
        ValueError: As :func:`parse`.
    """
    return mapped(value, lambda leaf: parse(leaf) if isinstance(leaf, str) else leaf)


def references(value: Any) -> Iterator[Reference]:
    """Yield every reference inside parsed data, initial values included."""
    for _, reference in placed_references(value):
        yield reference


def placed_references(value: Any) -> Iterator[tuple[str, Reference]]:
    """Yield dotted place and reference of every reference inside parsed data."""
    for place, leaf in leaves(value):
        if isinstance(leaf, Reference):
            yield place, leaf
            for initial in references(leaf.initial):
                yield place, initial
        elif isinstance(leaf, Template):
            for piece in leaf.pieces:
                if isinstance(piece, Reference):
                    yield place, piece


def is_made(reference: Reference, made: Mapping[str, Sequence[str]]) -> bool:
    """Return True if a job of ``made`` has the output that a reference names."""
    return bool(reference.keys) and reference.keys[0] in made.get(reference.job, ())


def available(reference: Reference, made: Mapping[str, Iterable[str]]) -> str:
    """Return a hint for a reference to nothing: an output of its job, or another job.

    Args:
        reference: The reference.
        made: Names of outputs by job.
    """
    key = reference.keys[0] if reference.keys else ""
    outputs = {job: list(names) for job, names in made.items()}
    if reference.job in outputs:
        return did_you_mean(key, outputs[reference.job], prefix=f"{reference.job}.")
    hint = did_you_mean(reference.job, outputs)
    guess = re.match(r"did you mean (\w+)\?", hint)
    if guess and key in outputs[guess[1]]:  # the output exists: the job's name is mistyped
        hint = hint.replace(guess[0], f"did you mean {guess[1]}.{key}?")
    return hint


def _parse_whole(text: str) -> Reference | None:
    """Return the reference that is the whole of ``text``."""
    match = _WHOLE.fullmatch(text)
    if match is None or (match[1] == "output" and match[3]):
        return None
    try:
        initial = parse_all(json.loads(match[3])) if match[3] else None
    except ValueError:  # several references in one text
        return None
    job, *keys = match[2].split(".")
    return Reference(job, tuple(keys), match[1] == "previous", initial)
