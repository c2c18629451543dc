"""Context infos: the outputs of finished jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.planning.references import _INSIDE, Reference, available, parse

_MISSING: Any = object()


class OutputNotFound(LookupError):
    """A reference names an output that no finished job has."""


@dataclass
class Context:
    """Outputs of this run's finished jobs, by iteration and job.

    Args:
        iteration: Number of the present iteration, from 1.
        results: Outputs by (iteration, job).
        hashes: Content hash of every output path seen in this run.
        titles: What people call an element, by its folder in the store.
    """

    iteration: int = 1
    results: dict[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def lookup(self, reference: Reference) -> Any:
        """The value that a reference stands for.

        Raises:
            OutputNotFound: No finished job has it.
        """
        iteration = self.iteration - reference.previous
        if iteration == 0:
            return self.resolve(reference.initial)
        results = {job: outputs for (i, job), outputs in self.results.items() if i == iteration}
        value, place = results.get(reference.job, _MISSING), reference.job
        if value is _MISSING:
            raise OutputNotFound(
                f"{reference} is no output of a finished job{available(reference, results)}"
            )
        for key in reference.keys:
            inner = _child(value, key)
            if inner is _MISSING:
                hint = available(Reference(place, (key,)), {place: _names(value)})
                raise OutputNotFound(f"{reference} is no output of a finished job{hint}")
            value, place = inner, f"{place}.{key}"
        return value

    def resolve(self, value: Any) -> Any:
        """``value`` with every reference in it replaced by what it stands for."""
        if isinstance(value, Mapping):
            return {key: self.resolve(child) for key, child in value.items()}
        if isinstance(value, list):
            return [self.resolve(child) for child in value]
        if not isinstance(value, str):
            return value
        reference = parse(value)
        if reference is not None:
            return self.lookup(reference)
        return _INSIDE.sub(lambda match: str(self.lookup(_named(match[1]))), value)


def _named(name: str) -> Reference:
    job, *keys = name.split(".")
    return Reference(job, tuple(keys))


def _names(value: Any) -> list[str]:
    """What ``_child`` finds something for; of a long list only some."""
    if isinstance(value, list):
        return [str(index) for index in range(min(len(value), 10))]
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def _child(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _MISSING)
    if isinstance(value, list) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return _MISSING
