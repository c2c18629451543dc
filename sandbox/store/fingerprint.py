"""What an element job is, and its fingerprint: the hash of everything that decides its result."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.build import convert
from sandbox.components.checks import nodes, with_defaults
from sandbox.store.content import ContentHashes, canonical, digest
from sandbox.store.records import JobRecord, JobStore


@dataclass(frozen=True)
class Element:
    """One element job, resolved: everything that a process needs to do it.

    Args:
        job: Name of the job.
        label: What people see: ``train``, or ``train[3]`` for an element of a mapped job.
        title: What tells it from the job's other elements, in short; empty for a job that is not mapped.
        config: The hook's node; every reference replaced, secrets as ``${oc.env:NAME}``.
        parts: What its fingerprint is made of.
        store_dir: Root of the job store.
        allowed: Patterns of allowed targets.
        not_before: A record made earlier than this (seconds since the epoch) does not count: ``force``.
    """

    job: str
    label: str
    config: Mapping[str, Any]
    parts: Mapping[str, Any]
    store_dir: Path
    allowed: tuple[str, ...]
    not_before: float = 0.0
    title: str = ""
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", digest(canonical(self.parts))[:16])

    @property
    def folder(self) -> Path:
        """Folder of this element in the store."""
        return self.store_dir.absolute() / self.job / self.fingerprint

    def record(self, store: JobStore) -> JobRecord | None:
        """Its record, if it is finished and that counts."""
        record = store.find(self.job, self.fingerprint)
        return record if record and record.run["ended"] >= self.not_before else None


def parts_of(
    config: Mapping[str, Any],
    allowed: Sequence[str],
    hashes: ContentHashes,
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """What an element's fingerprint is made of: dotted argument → value, or content of what it reads.

    Defaults count: spelling one out changes nothing, and where the code changes one, the job runs again.

    Args:
        config: The hook's node, resolved.
        allowed: Patterns of allowed targets.
        hashes: Hashes files and folders.
        outputs: Content hash by path of the outputs of this run's jobs.
    """
    parts: dict[str, Any] = {}
    whole = convert(with_defaults(config, allowed), allowed)
    for where, value in _leaves(whole, ""):
        if isinstance(value, Path):
            parts[where] = _content(value, hashes.of(value))
        elif isinstance(value, str) and (output := _output_of(value, outputs)):
            parts[where] = f"{os.path.relpath(value, Path(output).parent)}: {outputs[output]}"
        else:
            canonical(value)
            parts[where] = value
    for where, node in nodes(config, ""):
        declared = getattr(locate(node["_target_"], allowed), "VERSION", None)
        if declared is not None:
            parts[f"{where}._version_".lstrip(".")] = declared
    return parts


def _output_of(text: str, outputs: Mapping[str, str]) -> str | None:
    """The recorded output that ``text`` is the path of, or the path of a part of."""
    paths = [text, *map(str, Path(text).parents)] if text.startswith(os.sep) else []
    return next((path for path in paths if path in outputs), None)


def _content(path: Path, content_hash: str) -> str:
    """A file or folder in a fingerprint: components name what they write after what they read."""
    return f"{path.name}: {content_hash}"


def is_content(part: str) -> bool:
    """Whether a part of a fingerprint stands for a file or folder."""
    return re.fullmatch(r".*: [0-9a-f]{64}", part) is not None


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Values by place; no two places have one name: ``a.b.c``, ``a.'b.c'``, ``a[0]``, ``a.'0'``."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            name = key if isinstance(key, str) and key.isidentifier() else repr(key)
            yield from _leaves(child, f"{where}.{name}".lstrip("."))
    elif isinstance(value, list) and any(
        isinstance(child, (Path, Mapping, list, str)) for child in value
    ):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{where}[{index}]")
    else:
        yield where, value


def source_hashes(config: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, str]:
    """Hash of the source file of every class in a node, by target."""
    found = {}
    for _, node in nodes(config, ""):
        module = sys.modules[locate(node["_target_"], allowed).__module__]
        if module.__file__:
            found[node["_target_"]] = digest(Path(module.__file__).read_text())[:16]
    return found
