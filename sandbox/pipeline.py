"""Walk the job lists: reuse what is recorded, run the rest."""

from __future__ import annotations

import itertools
import json
import logging
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from sandbox import components
from sandbox.compute import BaseCompute
from sandbox.context import Context, OutputNotFound, references
from sandbox.element import Element, ElementFailed, execute, parts_of, source_hashes
from sandbox.hashing import canonical
from sandbox.job import JobSpec
from sandbox.spec import select
from sandbox.store import JobRecord, JobStore, write_durably
from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)

_FOLLOW_S = 0.5
_PROGRESS_S = 20.0


class JobFailed(RuntimeError):
    """Elements of a job failed; what finished is recorded, and the same command goes on from there."""


class Pipeline:
    """Runs the jobs of an experiment in one run folder.

    Args:
        specs: The jobs, in order.
        store: Where records are.
        watcher: Where metrics go.
        run_dir: Folder of this run.
        compute: Node of the compute that jobs run on unless they name their own.
        allowed: Patterns of allowed targets.
        force: Names of jobs whose records from before this run do not count.
    """

    def __init__(
        self,
        specs: Sequence[JobSpec],
        store: JobStore,
        watcher: SandboxWatcher,
        run_dir: Path,
        compute: Mapping[str, Any],
        allowed: tuple[str, ...],
        force: Sequence[str] = (),
    ) -> None:
        self.specs = specs
        self.store = store
        self.watcher = watcher
        self.run_dir = run_dir
        self.compute = compute
        self.allowed = allowed
        self.force = set(force)
        self.context = Context()
        self._started = time.time()
        self._computes: dict[str, BaseCompute] = {}
        self._infos: dict[str, list[dict[str, Any]]] = {}

    def run(self, iteration: int) -> None:
        """Run every job of one iteration that is not recorded yet.

        Raises:
            JobFailed: With every element that failed, after the others of its job have finished.
        """
        self.context.iteration = iteration
        for number, spec in enumerate(self.specs, 1):
            self._run_job(spec, f"[{number}/{len(self.specs)}] {spec.name}")

    def close(self) -> None:
        """Release the computes."""
        for compute in self._computes.values():
            compute.close()

    def _run_job(self, spec: JobSpec, title: str) -> None:
        try:
            elements = expand(spec, self.context, self.store, self.allowed, self._not_before(spec))
        except (OutputNotFound, OSError) as error:
            raise JobFailed(f"jobs.{spec.name}: {error}") from error
        records = {
            index: record for index, element in enumerate(elements) if (record := element.record(self.store))
        }
        missing = [index for index in range(len(elements)) if index not in records]
        compute = self._compute(spec) if missing else None
        log.info("%s: %s", title, _counts(len(elements), len(missing), compute))
        self._report_changed_sources(spec, [*records.values()])
        follower = _Follower(elements, self.watcher)
        for index, record in records.items():
            follower.finish(index, record)
        failures = self._run_elements(elements, missing, records, compute, follower) if compute else []
        for element in elements:
            self._link(element)
        if failures:
            done = len(elements) - len(failures)
            raise JobFailed(
                "\n".join(
                    [f"{spec.name}: {len(failures)} of {len(elements)} failed, {done} recorded", *failures]
                )
            )
        self._add(spec, elements, [records[index] for index in range(len(elements))])

    def _run_elements(
        self,
        elements: Sequence[Element],
        missing: Sequence[int],
        records: dict[int, JobRecord],
        compute: BaseCompute,
        follower: _Follower,
    ) -> list[str]:
        """Run what is missing, add its records; returns the failures' messages."""
        failures = []
        with follower:
            for number, error in compute.map(execute, [elements[index] for index in missing]):
                index = missing[number]
                element = elements[index]
                record = None if error else element.record(self.store)
                if record is None:
                    failures.append(
                        str(error)
                        if isinstance(error, ElementFailed)
                        else f"{element.label}: {error or 'left no record'}"
                    )
                    log.error("%s failed; the others go on", element.label) if len(missing) > 1 else None
                    continue
                records[index] = record
                follower.finish(index, record)
                log.info(
                    "%s done in %.1f s (%d of %d)",
                    element.label,
                    record.run["seconds"],
                    len(records),
                    len(elements),
                )
        return failures

    def _not_before(self, spec: JobSpec) -> float:
        return self._started if spec.name in self.force else 0.0

    def _compute(self, spec: JobSpec) -> BaseCompute:
        node = spec.compute or self.compute
        key = canonical(node)
        if key not in self._computes:
            self._computes[key] = components.build(node, self.allowed)
        return self._computes[key]

    def _report_changed_sources(self, spec: JobSpec, records: Sequence[JobRecord]) -> None:
        if not records:
            return
        now = source_hashes(spec.config, self.allowed)
        changed = {
            target
            for record in records
            for target, was in record.run["sources"].items()
            if now.get(target, was) != was
        }
        for target in sorted(changed):
            log.warning(
                "%s: the source of %s changed since it was recorded, its VERSION did not: reused",
                spec.name,
                target,
            )

    def _add(self, spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]) -> None:
        """Put a finished job into the context and its file."""
        for record in records:
            self.context.hashes |= record.hashes
        outputs = gather(spec, elements, records)
        self.context.results[self.context.iteration, spec.name] = outputs
        if spec.seeds:
            self.watcher.watch(
                {key: value for key, value in outputs.items() if not key.endswith("_values")}, name=spec.name
            )
        info = {"meta_name": spec.name, "iteration": self.context.iteration, **outputs}
        self._infos.setdefault(spec.pipeline, []).append(info)
        write_durably(self.run_dir / "context_infos.json", json.dumps(self._infos, indent=2))

    def _link(self, element: Element) -> None:
        """``jobs/<job>`` or ``jobs/<job>/<index>`` in the run's folder leads to the store."""
        name = element.label.replace("[", "/").rstrip("]")
        folder = (
            self.run_dir / "jobs"
            if self.context.iteration == 1
            else self.run_dir / f"jobs_{self.context.iteration}"
        )
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(element.folder)


def expand(
    spec: JobSpec, context: Context, store: JobStore, allowed: tuple[str, ...], not_before: float = 0.0
) -> list[Element]:
    """The element jobs of a job, in the order of its ``map``, every element's seeds together.

    Raises:
        OutputNotFound: It reads an output that is not there yet.
        JobFailed: A mapped reference does not stand for a list, or zipped lists have unequal lengths.
    """
    found = []
    choices = _choices(spec, context)
    for index, (choice, seed) in enumerate(itertools.product(choices, spec.seeds or (None,))):
        config = deepcopy(dict(spec.config))
        for place, value in choice.items():
            _put(config, place, deepcopy(value))
        if seed is not None:
            _put(config, spec.seed_argument, seed)
        config = context.resolve(config)
        label = f"{spec.name}[{index}]" if spec.map or spec.seeds else spec.name
        parts = parts_of(config, allowed, store.hashes, context.hashes)
        found.append(Element(spec.name, label, config, parts, store.root, allowed, not_before))
    return found


def _choices(spec: JobSpec, context: Context) -> list[dict[str, Any]]:
    """Values by dotted place, one mapping an element."""
    leaves = {place: context.resolve(leaf) for place, leaf in spec.map.items()}
    for place, leaf in leaves.items():
        if not isinstance(leaf, list):
            raise JobFailed(f"jobs.{spec.name}.map.{place}: {spec.map[place]} is {leaf!r}, expected a list")
        if not leaf:
            raise JobFailed(f"jobs.{spec.name}.map.{place}: {spec.map[place]} is empty")
    if spec.product:
        rows: Iterator[tuple[Any, ...]] = itertools.product(*leaves.values())
    else:
        lengths = {place: len(leaf) for place, leaf in leaves.items()}
        if len(set(lengths.values())) > 1:
            raise JobFailed(f"jobs.{spec.name}.map: zipped lists have unequal lengths: {lengths}")
        rows = zip(*leaves.values(), strict=True)
    return [dict(zip(leaves, row, strict=True)) for row in rows] if leaves else [{}]


def gather(spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]) -> dict[str, Any]:
    """A job's outputs from its elements' records: lists in input order where it is mapped.

    With ``seeds`` a number becomes its mean over seeds, with ``<name>_std`` (sample standard
    deviation, 0 for one seed) and ``<name>_values`` beside; anything else becomes a list over seeds.
    """
    per_element = [dict(record.outputs) for record in records]
    if spec.seeds:
        size = len(spec.seeds)
        per_element = [_over_seeds(per_element[i : i + size]) for i in range(0, len(per_element), size)]
    if not spec.map:
        return per_element[0]
    outputs: dict[str, Any] = {key: [one[key] for one in per_element] for key in per_element[0]}
    step = max(1, len(spec.seeds))
    outputs["elements"] = [
        {place: select(element.config, place) for place in spec.map} for element in elements[::step]
    ]
    return outputs


def _over_seeds(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in outputs[0]:
        values = [one[key] for one in outputs]
        if all(isinstance(value, (int, float)) for value in values):
            merged[key] = statistics.fmean(values)
            merged[f"{key}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        else:
            merged[key] = values
            merged[f"{key}_std"] = None
        merged[f"{key}_values"] = values
    return merged


def _put(config: dict[str, Any], place: str, value: Any) -> None:
    *parents, last = place.split(".")
    for key in parents:
        config = config[key]
    config[last] = value


def _counts(num_elements: int, num_missing: int, compute: BaseCompute | None) -> str:
    if not num_missing:
        return "recorded" if num_elements == 1 else f"all {num_elements} recorded"
    if num_elements == 1:
        return f"running ({compute})"
    recorded = num_elements - num_missing
    return f"{num_elements} elements, {recorded} recorded, running {num_missing} ({compute})"


class _Follower:
    """Hands an element's metrics to the watcher: while it runs from its file, at the end from its record."""

    def __init__(self, elements: Sequence[Element], watcher: SandboxWatcher) -> None:
        self._elements = elements
        self._watcher = watcher
        self._offsets = dict.fromkeys(range(len(elements)), 0)
        self._sent: dict[int, list[Mapping[str, Any]]] = {index: [] for index in range(len(elements))}
        self._finished: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._told = time.monotonic()

    def __enter__(self) -> None:
        for index, element in enumerate(self._elements):
            path = element.folder / "metrics.jsonl"
            if path.exists():  # what an earlier attempt wrote comes with the record
                self._offsets[index] = path.stat().st_size
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self, index: int, record: JobRecord) -> None:
        """Send what the record has beyond what was sent."""
        with self._lock:
            self._finished.add(index)
            for line in record.metrics:
                if line not in self._sent[index]:
                    self._send(index, line)

    def _follow(self) -> None:
        while not self._stop.wait(_FOLLOW_S):
            with self._lock:
                for index, element in enumerate(self._elements):
                    if index not in self._finished:
                        self._read(index, element.folder / "metrics.jsonl")

    def _read(self, index: int, path: Path) -> None:
        if not path.exists():
            return
        with path.open("rb") as file:
            if path.stat().st_size < self._offsets[index]:
                self._offsets[index] = 0
            file.seek(self._offsets[index])
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offsets[index] += len(line)
                event = json.loads(line)
                self._sent[index].append(event)
                self._send(index, event)
                self._tell(index, event)

    def _send(self, index: int, event: Mapping[str, Any]) -> None:
        name = self._elements[index].label.replace("[", ".").rstrip("]")
        self._watcher.watch(event["metrics"], name=name, step=event["step"])

    def _tell(self, index: int, event: Mapping[str, Any]) -> None:
        """A sign of life on long work."""
        if time.monotonic() - self._told > _PROGRESS_S and event["step"] is not None:
            self._told = time.monotonic()
            figures = ", ".join(f"{key} {value:.4g}" for key, value in list(event["metrics"].items())[:3])
            log.info("  %s step %s: %s", self._elements[index].label, event["step"], figures)


def explain(
    spec: JobSpec, context: Context, store: JobStore, allowed: tuple[str, ...], waiting: set[str]
) -> list[tuple[str, str]]:
    """Why each element of a job would run or not: (label, reason), for ``dry_run``."""
    depends = sorted(
        {reference.job for reference in references([spec.config, spec.map]) if reference.job in waiting}
    )
    if depends:
        return [(spec.name, f"depends on {', '.join(depends)}")]
    try:
        elements = expand(spec, context, store, allowed)
    except OutputNotFound as error:
        return [(spec.name, str(error))]
    return [(element.label, _reason(element, store)) for element in elements]


def _reason(element: Element, store: JobStore) -> str:
    if element.record(store):
        return "recorded"
    if (element.folder / "attempts").exists():
        return "failed or was cut short before"
    others = store.others(element.job)
    if not others:
        return "new"
    nearest = min(others, key=lambda record: len(_differences(record.parts, element.parts)))
    return "; ".join(_differences(nearest.parts, element.parts)[:3])


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return [f"argument {name} changed from {before.get(name)!r} to {now.get(name)!r}" for name in names]
