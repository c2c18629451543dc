"""Walk the job lists: reuse what is recorded, run the rest."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sandbox.components.build import build
from sandbox.compute import ComputeSession
from sandbox.job import JobFailed, JobSpec
from sandbox.running.attempt import ElementFailed, execute
from sandbox.running.context import Context
from sandbox.running.elements import expand, gather
from sandbox.running.metrics_relay import MetricsRelay
from sandbox.store.content import canonical
from sandbox.store.fingerprint import Element, source_hashes
from sandbox.store.records import JobRecord, JobStore
from sandbox.system.files import write_durably
from sandbox.watchers.open_watcher import OpenWatcher

log = logging.getLogger(__name__)

_MOST_FIGURES = 9


class Pipeline:
    """Runs the jobs of an experiment in one run folder.

    Args:
        specs: The jobs, in order.
        store: Where records are.
        watcher: Where metrics go.
        run_dir: Folder of this run.
        compute: Node of the compute that jobs run on unless they name their own.
        allowed: Patterns of allowed targets.
        force: Names of jobs whose earlier records do not count.
        forced_since: How much earlier, in seconds since the epoch; ``None`` is before now.
    """

    def __init__(
        self,
        specs: Sequence[JobSpec],
        store: JobStore,
        watcher: OpenWatcher,
        run_dir: Path,
        compute: Mapping[str, Any],
        allowed: tuple[str, ...],
        force: Sequence[str] = (),
        forced_since: float | None = None,
    ) -> None:
        self.specs = specs
        self.store = store
        self.watcher = watcher
        self.run_dir = run_dir
        self.compute = compute
        self.allowed = allowed
        self.force = set(force)
        self.context = Context()
        self._forced_since = time.time() if forced_since is None else forced_since
        self._computes: dict[str, ComputeSession] = {}
        self._open = ExitStack()
        self._infos: dict[str, list[dict[str, Any]]] = {}

    def run(self, iteration: int) -> None:
        """Run every job of one iteration that is not recorded yet.

        Raises:
            JobFailed: With every element that failed, after the others of its job have finished.
        """
        self.context.iteration = iteration
        jobs = self.run_dir / "jobs"
        if iteration > 1 and jobs.exists():  # jobs/ always shows the last iteration
            jobs.rename(self.run_dir / f"jobs_{iteration - 1}")
        if iteration > 1:
            self.watcher.watch({"iteration": iteration})
        for number, spec in enumerate(self.specs, 1):
            self._run_job(spec, f"[{number}/{len(self.specs)}] {spec.name}")

    def close(self) -> None:
        """Leave the sessions of the computes."""
        self._open.close()

    def _run_job(self, spec: JobSpec, title: str) -> None:
        try:
            elements = expand(spec, self.context, self.store, self.allowed, self._not_before(spec))
        except (ValueError, LookupError, OSError) as error:
            raise JobFailed(f"{spec.name}: {error}") from error
        records = {
            index: record
            for index, element in enumerate(elements)
            if (record := element.record(self.store))
        }
        missing = [index for index in range(len(elements)) if index not in records]
        compute = self._compute(spec) if missing else None
        forced = spec.name in self.force and bool(missing)
        log.info("%s: %s", title, _counts(len(elements), len(missing), compute, forced))
        self._report_changed_sources(spec, [*records.values()])
        relay = MetricsRelay(elements, self.watcher)
        for index, record in records.items():
            relay.finish(index, record)
        failures = self._run_elements(elements, missing, records, compute, relay) if compute else []
        for element in elements:
            self._link(element)
        if failures:
            done = len(elements) - len(failures)
            count = [f"{spec.name}: {len(failures)} of {len(elements)} failed, {done} recorded"]
            raise JobFailed("\n".join([*(count if len(elements) > 1 else []), *failures]))
        self._add(spec, elements, [records[index] for index in range(len(elements))])

    def _run_elements(
        self,
        elements: Sequence[Element],
        missing: Sequence[int],
        records: dict[int, JobRecord],
        compute: ComputeSession,
        relay: MetricsRelay,
    ) -> list[str]:
        """Run what is missing, add its records; returns the failures' messages."""
        failures = []
        with relay:
            for number, error in compute.map(execute, [elements[index] for index in missing]):
                self.store.hashes.refresh()
                index = missing[number]
                element = elements[index]
                record = None if error else element.record(self.store)
                if record is None:
                    failures.append(
                        str(error)
                        if isinstance(error, ElementFailed)
                        else f"{element.label}: {error or 'left no record'}"
                    )
                    log.error("%s failed; the others go on", element.label) if len(
                        missing
                    ) > 1 else None
                    continue
                records[index] = record
                relay.finish(index, record)
                done = f"{len(records)} of {len(elements)}"
                log.info("%s done in %.1f s (%s)", _named(element), record.run["seconds"], done)
        return failures

    def _not_before(self, spec: JobSpec) -> float:
        return self._forced_since if spec.name in self.force else 0.0

    def _compute(self, spec: JobSpec) -> ComputeSession:
        node = spec.compute or self.compute
        key = canonical(node)
        if key not in self._computes:
            session = build(node, self.allowed).open()
            self._computes[key] = self._open.enter_context(session)
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

    def _add(
        self, spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]
    ) -> None:
        """Put a finished job into the context and its file."""
        for element, record in zip(elements, records, strict=True):
            self.context.hashes |= record.hashes
            self.context.titles[str(element.folder)] = element.title
            _log_figures(element, record.outputs)
        outputs = gather(spec, elements, records)
        self.context.results[self.context.iteration, spec.name] = outputs
        if spec.seeds:
            self.watcher.watch(
                {key: value for key, value in outputs.items() if not key.endswith("_values")},
                name=spec.name,
            )
        info = {"meta_name": spec.name, "iteration": self.context.iteration, **outputs}
        self._infos.setdefault(spec.pipeline, []).append(info)
        write_durably(
            self.run_dir / "context_infos.json", json.dumps(self._infos, indent=2, default=str)
        )

    def _link(self, element: Element) -> None:
        """``jobs/<job>`` or ``jobs/<job>/<index>`` in the run's folder leads to the store."""
        name = element.label.replace("[", "/").rstrip("]")
        link = self.run_dir / "jobs" / name
        mapped = [*link.iterdir()] if link.is_dir() and not link.is_symlink() else []
        for earlier in (*mapped, link, link.parent):  # of an earlier run in this folder
            if earlier.is_symlink():
                earlier.unlink()
        if mapped:
            link.rmdir()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(element.folder)


def _counts(
    num_elements: int, num_missing: int, compute: ComputeSession | None, forced: bool
) -> str:
    if not num_missing:
        return "recorded" if num_elements == 1 else f"all {num_elements} recorded"
    why = "forced" if forced else f"{num_elements - num_missing} recorded"
    if num_elements == 1:
        return f"running ({'forced, ' if forced else ''}{compute})"
    return f"{num_elements} elements, {why}, running {num_missing} ({compute})"


def _named(element: Element) -> str:
    return f"{element.label} ({element.title})" if element.title else element.label


def _log_figures(element: Element, outputs: Mapping[str, Any]) -> None:
    """What an element found, where that is numbers."""
    figures = [
        f"{key} {value:.4g}" for key, value in outputs.items() if isinstance(value, (int, float))
    ]
    if figures:
        more = f", … ({len(figures)} in all)" if len(figures) > _MOST_FIGURES else ""
        log.info("  %s: %s%s", _named(element), ", ".join(figures[:_MOST_FIGURES]), more)
