"""Context infos: the outputs of finished jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.components.tree import mapped
from sandbox.job import JobSpec, Label
from sandbox.planning.references import Reference, Template, available

_ABSENT: Any = object()
_MOST_INDICES = 10


class OutputNotFound(LookupError):
    """A reference names an output that no finished job has."""


@dataclass(frozen=True)
class NoMean:
    """In place of a mean over seeds: one of them has no number. To read it is an error.

    Args:
        text: Element, seed and output.
    """

    text: str


@dataclass(frozen=True)
class FinishedJob:
    """A finished job, element by element.

    Args:
        spec: The job.
        labels: Labels of each element, one for each of the job's axes.
        outputs: Outputs of each element.
    """

    spec: JobSpec
    labels: Sequence[tuple[Label, ...]]
    outputs: Sequence[Mapping[str, Any]]


@dataclass
class Context:
    """Outputs of this run's finished jobs, by iteration and job.

    Args:
        iteration: Number of the present iteration, from 1.
        results: Outputs by (iteration, job); files and folders are ``Path``.
        finished: Jobs of the present iteration, and of the last one until they are done again.
        hashes: Content hash of every output path seen in this run, by path.
        titles: Label of an element, by its folder in the store.
    """

    iteration: int = 1
    results: dict[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    finished: dict[str, FinishedJob] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def lookup(self, reference: Reference) -> Any:
        """Return the value that a reference stands for.

        Raises:
            OutputNotFound: No finished job has it.
            ValueError: It is a mean over seeds, of which one has no number.
        """
        iteration = self.iteration - reference.previous
        if iteration == 0:
            return self.resolve(reference.initial)
        results = {job: outputs for (i, job), outputs in self.results.items() if i == iteration}
        if reference.job not in results:
            raise _not_found(reference, available(reference, results))
        value, place = results[reference.job], reference.job
        keys = list(reference.keys)
        while keys:
            key = _first_name(value, keys)
            inner = _child(value, key)
            if inner is _ABSENT:
                hint = available(Reference(place, (key,)), {place: _names(value)})
                raise _not_found(reference, hint)
            value, place = inner, f"{place}.{key}"
            del keys[: key.count(".") + 1]
            if isinstance(value, NoMean):
                raise ValueError(f"{reference}: {value.text}; a mean needs one for every seed")
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


def _first_name(value: Any, keys: Sequence[str]) -> str:
    """Return the longest beginning of ``keys`` that is a key of ``value``, else the first one.

    Names of axes have dots in them.
    """
    names = [".".join(keys[:number]) for number in range(len(keys), 0, -1)]
    known = value if isinstance(value, Mapping) else ()
    return next((name for name in names if name in known), keys[0])


def _child(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _ABSENT)
    if isinstance(value, list) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return _ABSENT
