"""Use a component with data pools of every format, and compare what it makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from contract import scope
from pool_files import write_pool

from sandbox.job import JobScope
from sandbox.samples import STATS, is_pool, read_samples

TEXTS = [
    "write a story.",
    "write a story",
    "please write a story.",
    "bake a cake.",
    "she sleeps.",
    "she sleeps. tell a joke.",
    "a text that none of the others is like",
    "write a very very long story",
]
TEXT_SUFFIXES = (".csv", ".diff", ".json", ".txt", ".yaml")


@dataclass(frozen=True)
class Pool:
    """Stands in the arguments of a case for a pool by its name, in the format under test."""

    name: str


@dataclass(frozen=True)
class Fixture:
    """Stands in the arguments of a case for the value of a fixture."""

    name: str


FIRST, SECOND, LABELS = Pool("first"), Pool("second"), Pool("labels")


def all_results(results: Any, scope: JobScope) -> Any:
    """Return the results of a component, files by content."""
    return plain(results)


def all_but_summary(results: Any, scope: JobScope) -> Any:
    """Return the results of a component without its summary, which names the file that it read."""
    return {name: value for name, value in plain(results).items() if name != "summary"}


def all_files(results: Any, scope: JobScope) -> Any:
    """Return the content of all files that a component wrote."""
    return plain(scope.output_dir)


@dataclass(frozen=True)
class Case:
    """Use of a component.

    Args:
        arguments: Its arguments.
        run: The arguments of its method.
        method: The method that reads the pools.
        compared: Makes the value that has to be the same for all formats.
        reads_statistics: Also run it with statistics in files beside the pools.
        is_slow: It starts a program with a heavy library.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    method: str = "run"
    compared: Callable[[Any, JobScope], Any] = all_results
    reads_statistics: bool = False
    is_slow: bool = False


def pools_in(value: Any) -> Iterator[Pool]:
    """Yield the pools in the arguments of a case."""
    if isinstance(value, Pool):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from pools_in(item)


class Runs:
    """Outcomes of cases, by format of their pools.

    Args:
        folder: Folder of the pools and of the outputs.
        image_dir: Folder of the pictures that the samples name.
        fixture: Returns the value of a fixture.
    """

    def __init__(self, folder: Path, image_dir: Path, fixture: Callable[[str], Any]) -> None:
        self._folder = folder
        self._fixture = fixture
        self._samples = {
            "first": [sample(number, text, image_dir) for number, text in enumerate(TEXTS)],
            "second": [sample(number, text, image_dir) for number, text in enumerate(TEXTS[::2])],
            "labels": [{"label": f"label {number}"} for number in range(len(TEXTS))],
        }
        self._in_jsonl: dict[str, Any] = {}

    def in_jsonl(self, name: str, cls: type, case: Case) -> Any:
        """Return the outcome of a case with the simplest format."""
        if name not in self._in_jsonl:
            self._in_jsonl[name] = self.outcome(name, cls, case, "jsonl")
        return self._in_jsonl[name]

    def outcome(
        self, name: str, cls: type, case: Case, ending: str, *, stats_beside: bool = False
    ) -> Any:
        """Run a case with pools in one format; return its compared value and its metrics."""
        # Spaces, because Data-Juicer takes a path with spaces for several.
        folder = self._folder / f"{name} {ending} {stats_beside}"
        metrics: list[dict[str, float]] = []
        inside = scope(folder, metrics)
        used: dict[str, str] = {}

        def given(value: Any) -> Any:
            if isinstance(value, Fixture):
                return self._fixture(value.name)
            if isinstance(value, list):
                return [given(item) for item in value]
            if not isinstance(value, Pool):
                return value
            beside = stats_beside and STATS in self._samples[value.name][0]
            samples = self._samples[value.name]
            path = write_pool(folder / "in", value.name, samples, ending, stats_beside=beside)
            used[str(path)] = value.name
            return path

        component = cls(**{key: given(value) for key, value in case.arguments.items()})
        run = {key: given(value) for key, value in case.run.items()}
        results = getattr(component, case.method)(**run, scope=inside)
        text = json.dumps([case.compared(results, inside), metrics], sort_keys=True)
        for path, pool in sorted(used.items(), reverse=True):
            text = text.replace(path, pool)
        return json.loads(text.replace(str(folder), "folder"))


def sample(number: int, text: str, image_dir: Path) -> dict[str, Any]:
    """Make a sample with everything that any component reads."""
    return {
        "id": number,
        "text": text,
        "caption": text,
        "images": [str(image_dir / f"{number}.png")],
        STATS: {"text_len": len(text), "num_words": len(text.split())},
    }


def plain(value: Any) -> Any:
    """Return results as plain values: pools as samples, other files as texts or digests."""
    if is_dataclass(value):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child) for child in value]
    return content(value) if isinstance(value, Path) else value


def content(path: Path) -> Any:
    """Return the content of a file or a folder."""
    if path.is_dir() and not any(is_pool(child.name) for child in path.iterdir()):
        return {child.name: content(child) for child in sorted(path.iterdir())}
    if path.is_file() and not path.stat().st_size:  # a list of what was left out, say
        return ""
    if path.is_dir() or is_pool(path):
        return [sample for _, sample in read_samples(path)]
    if path.suffix in TEXT_SUFFIXES:
        return path.read_text()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_statistics(value: Any) -> Any:
    """Return an outcome without the statistics of samples."""
    if isinstance(value, dict):
        return {key: without_statistics(child) for key, child in value.items() if key != STATS}
    return [without_statistics(child) for child in value] if isinstance(value, list) else value
