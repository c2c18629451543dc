"""Context infos: the outputs of finished jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.components.tree import mapped
from sandbox.planning.references import Reference, Template, available

_ABSENT: Any = object()
_MOST_INDICES = 10


class OutputNotFound(LookupError):
    """A reference names an output that no finished job has."""


@dataclass
class Context:
    """Outputs of this run's finished jobs, by iteration and job.

    Args:
        iteration: Number of the present iteration, from 1.
        results: Outputs by (iteration, job); files and folders are ``Path``.
        hashes: Content hash of every output path seen in this run, by path.
        titles: Title of an element, by its folder in the store.
    """

    iteration: int = 1
    results: dict[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def lookup(self, reference: Reference) -> Any:
        """Return the value that a reference stands for.

        Raises:
            OutputNotFound: No finished job has it.
        """
        iteration = self.iteration - reference.previous
        if iteration == 0:
            return self.resolve(reference.initial)
        results = {job: outputs for (i, job), outputs in self.results.items() if i == iteration}
        if reference.job not in results:
            raise _not_found(reference, available(reference, results))
        value, place = results[reference.job], reference.job
        for key in reference.keys:
            inner = _child(value, key)
            if inner is _ABSENT:
                hint = available(Reference(place, (key,)), {place: _names(value)})
                raise _not_found(reference, hint)
            value, place = inner, f"{place}.{key}"
        return value

    def resolve(self, value: Any) -> Any:
        """Return a copy of parsed data with every reference replaced by what it stands for."""
        return mapped(value, self._resolve_leaf)

    def _resolve_leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, Reference):
            return self.lookup(leaf)
        if isinstance(leaf, Template):
            pieces = [
                piece if isinstance(piece, str) else self.lookup(piece) for piece in leaf.pieces
            ]
            return "".join(map(str, pieces))
        return leaf


def _not_found(reference: Reference, hint: str) -> OutputNotFound:
    return OutputNotFound(f"{reference} is no output of a finished job; {hint}")


def _names(value: Any) -> list[str]:
    """Return the keys below ``value``; of a long list only the first indices."""
    if isinstance(value, list):
        return [str(index) for index in range(min(len(value), _MOST_INDICES))]
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def _child(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _ABSENT)
    if isinstance(value, list) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return _ABSENT
