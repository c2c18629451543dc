"""Element jobs and their fingerprints: the hash of everything that decides a result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.construct import convert, with_defaults
from sandbox.components.tree import nodes
from sandbox.job import Label, axes_text
from sandbox.store.content import ContentHashes, canonical, digest
from sandbox.store.records import Content, JobRecord, JobStore, as_json


@dataclass(frozen=True)
class Element:
    """One element job, resolved: everything that a process needs to do it.

    Args:
        job: Name of the job.
        label: Name in messages: ``train``, or ``train[3]`` for an element of a mapped job.
        config: The hook's node; every reference replaced, secrets as ``${oc.env:NAME}``.
        parts: Argument or input by dotted place, with its value or content: what is hashed.
        store_dir: Root of the job store.
        allowed: Patterns of allowed targets.
        after: A record of this attempt or an earlier one does not count: ``force``.
        axes: Its label on each axis of the job; empty of a job without ``map`` and seeds.
    """

    job: str
    label: str
    config: Mapping[str, Any]
    parts: Mapping[str, Any]
    store_dir: Path
    allowed: tuple[str, ...]
    after: int = 0
    axes: Mapping[str, Label] = field(default_factory=dict)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", digest(canonical(as_json(self.parts)))[:16])

    @property
    def title(self) -> str:
        """Its labels as one text, such as ``web_low, seed 2``."""
        return axes_text(self.axes)

    @property
    def full_label(self) -> str:
        """Its name in messages with its labels: ``train[4] (web_low, seed 2)``."""
        return f"{self.label} ({self.title})" if self.axes else self.label

    @property
    def folder(self) -> Path:
        """Folder of this element in the store."""
        return self.store_dir.absolute() / self.job / self.fingerprint

    def record(self, store: JobStore) -> JobRecord | None:
        """Return its record if it is finished, by an attempt that counts."""
        record = store.find(self.job, self.fingerprint)
        return record if record and record.attempt > self.after else None


def parts_of(
    config: Mapping[str, Any],
    allowed: Sequence[str],
    hashes: ContentHashes,
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a fingerprint is made of: by dotted argument its value, or an input's content.

    Defaults count: spelling one out changes nothing, and a job runs again when one changes.

    Args:
        config: The hook's node, resolved.
        allowed: Patterns of allowed targets.
        hashes: Hashes files and folders.
        outputs: Content hash by path of the outputs of this run's jobs.
    """
    parts: dict[str, Any] = {}
    whole = convert(with_defaults(config, allowed), allowed)
    for where, value in _leaves(whole, ""):
        output = _output_of(value, outputs)
        if output is not None:
            # relative to the output: the store may move, and a part of a folder is not the folder
            name = os.path.relpath(value, Path(output).parent)
            parts[where] = Content(name, outputs[output])
        elif isinstance(value, Path):
            # with the name: components name what they write after what they read
            parts[where] = Content(value.name, hashes.of(value))
        else:
            canonical(value)
            parts[where] = value
    for where, node in nodes(config):
        declared = getattr(locate(node["_target_"], allowed), "VERSION", None)
        if declared is not None:
            parts[f"{where}._version_".lstrip(".")] = declared
    return parts


def _output_of(value: Any, outputs: Mapping[str, str]) -> str | None:
    """Return the recorded output that ``value`` is the path of, or the path of a part of."""
    if not isinstance(value, (str, Path)) or not str(value).startswith(os.sep):
        return None
    paths = [str(value), *map(str, Path(value).parents)]
    return next((path for path in paths if path in outputs), None)


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield values by place; places are distinct: ``a.b.c``, ``a.'b.c'``, ``a[0]``, ``a.'0'``.

    A list of numbers is one value.
    """
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            name = key if isinstance(key, str) and key.isidentifier() else repr(key)
            yield from _leaves(child, f"{where}.{name}".lstrip("."))
    elif isinstance(value, list) and any(map(_needs_a_place, value)):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{where}[{index}]")
    else:
        yield where, value


def _needs_a_place(value: Any) -> bool:
    return isinstance(value, (Path, Mapping, list, str))
