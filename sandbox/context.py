"""Context infos: the outputs of finished jobs, and the references that read them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

_REFERENCE = re.compile(r"\$\{(output|previous):([^,}\s]+)(?:,(.*))?\}", re.DOTALL)
_INSIDE = re.compile(r"\$\{output:([^,}\s]+)\}")
_ANY = re.compile(r"\$\{(output|previous):")
_MISSING: Any = object()

BEGAN = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
"""When this process began, as its runs' folders are named: one time, however often Hydra asks."""


class OutputNotFound(LookupError):
    """A reference names an output that no finished job has."""


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


def register_resolvers() -> None:
    """Let OmegaConf pass references on as text, and check names; call once, before anything is composed."""
    OmegaConf.register_resolver("output", _output_as_text, replace=True)
    OmegaConf.register_resolver("previous", _previous_as_text, replace=True)
    # cached, as Hydra's own time is: a launcher's other processes then name the folder as we do
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True, use_cache=True)


def _output_as_text(name: str = "", *more: Any) -> str:
    if not name or more:
        raise ValueError("${output:…} takes one name: ${output:job.key}")
    return f"${{output:{name}}}"


def _previous_as_text(name: str = "", initial: Any = None, *more: Any) -> str:
    if not name or more:
        raise ValueError("${previous:…} takes a name and an initial value: ${previous:job.key, initial}")
    plain = OmegaConf.to_container(initial, resolve=True) if OmegaConf.is_config(initial) else initial
    return f"${{previous:{name},{json.dumps(plain)}}}"


def _run_folder(name: Any) -> str:
    """``<experiment>/<time>``; the experiment's name becomes part of a path that must not lead elsewhere."""
    parts = str(name).split("/")
    if not all(re.fullmatch(r"[\w.-]+", part) and part.strip(".") for part in parts):
        raise ValueError(
            f"experiment_name: given {name!r}, expected letters, digits, . _ - and / between names"
        )
    return f"{name}/{BEGAN}"


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
            raise OutputNotFound(f"{reference} is no output of a finished job{available(reference, results)}")
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
