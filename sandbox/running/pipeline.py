"""Walk the job lists: reuse what is recorded, run the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sandbox.components.build import build
from sandbox.compute import ComputeSession
from sandbox.job import JobFailed, JobSpec
from sandbox.running.attempt import ElementFailed, discard_resume_state, execute
from sandbox.running.context import Context, NoMean
from sandbox.running.costs import Costs
from sandbox.running.elements import expand
from sandbox.running.forced import Forced
from sandbox.running.metrics_relay import MetricsRelay
from sandbox.running.outputs import candidate_means, finish
from sandbox.running.run_folder import RunFolder
from sandbox.store.content import canonical
from sandbox.store.fingerprint import Element
from sandbox.store.records import JobRecord, JobStore
from sandbox.store.sources import changes
from sandbox.system.files import fault_text
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
        forced: Jobs that run once more, with their records that do not count.
    """

    def __init__(
        self,
        specs: Sequence[JobSpec],
        store: JobStore,
        watcher: OpenWatcher,
        run_dir: Path,
        compute: Mapping[str, Any],
        allowed: tuple[str, ...],
        forced: Forced | None = None,
    ) -> None:
        self.specs = specs
        self.store = store
        self.watcher = watcher
        self.folder = RunFolder(run_dir)
        self.compute = compute
        self.allowed = allowed
        self.forced = forced or {}
        self.context = Context()
        self._sessions: dict[str, ComputeSession] = {}
        self._open = ExitStack()
        self._reported: set[tuple[str, str]] = set()
        self.ran = Costs()
        self.reused = Costs()

    def run(self, iteration: int) -> None:
        """Run every job of one iteration that is not recorded yet.

        Raises:
            JobFailed: With every element that failed, after the others of its job have finished.
        """
        self.context.iteration = iteration
        self.folder.begin_iteration(iteration)
        if iteration > 1:
            self.watcher.watch({"iteration": iteration})
        for number, spec in enumerate(self.specs, 1):
            self._run_job(spec, f"[{number}/{len(self.specs)}] {spec.name}")

    def close(self) -> None:
        """Leave the sessions of the computes, and complete the run's folder."""
        with self._open:
            self.folder.write_outputs()

    def _run_job(self, spec: JobSpec, title: str) -> None:
        replaced = self.forced.get(spec.name)
        try:
            elements = expand(spec, self.context, self.store, self.allowed, replaced)
            found = {index: element.record(self.store) for index, element in enumerate(elements)}
        except OSError as error:
            raise JobFailed(f"{spec.name}: {fault_text(error)}") from error
        except (ValueError, LookupError) as error:
            raise JobFailed(f"{spec.name}: {error}") from error
        records = {index: record for index, record in found.items() if record is not None}
        missing = [index for index, record in found.items() if record is None]
        session = self._session(spec) if missing else None
        is_forced = replaced is not None
        log.info("%s: %s", title, _counts(len(elements), len(missing), session, is_forced))
        self._report_changes(spec, elements, records)
        relay = MetricsRelay(elements, self.watcher, self.folder.catch_up)
        for index, record in records.items():
            relay.finish(index, record)
            self.reused.add((self.context.iteration, spec.name), record.run)
            discard_resume_state(elements[index])  # its process was killed just after recording
        failures: list[str] = []
        if session:
            failures = self._run_elements(elements, missing, records, session, relay)
        for element in elements:
            self.folder.link(element)
        if failures:
            raise JobFailed(_failure_text(spec.name, failures, len(elements)))
        self._add(spec, elements, [records[index] for index in range(len(elements))])

    def _report_changes(
        self, spec: JobSpec, elements: Sequence[Element], records: Mapping[int, JobRecord]
    ) -> None:
        """Warn, once for a job, that its code is not the code that made the records it reuses."""
        recorded = [(elements[index].config, record.run) for index, record in records.items()]
        text = changes(recorded, self.allowed)
        if text and (spec.name, text) not in self._reported:
            self._reported.add((spec.name, text))
            log.warning(
                "%s: since it was recorded, %s; no VERSION changed, so the result is reused;"
                " to run it again: force=[%s]",
                spec.name,
                text,
                spec.name,
            )

    def _run_elements(
        self,
        elements: Sequence[Element],
        missing: Sequence[int],
        records: dict[int, JobRecord],
        session: ComputeSession,
        relay: MetricsRelay,
    ) -> list[str]:
        """Run the elements without a record and add their records; return messages of failures."""
        failures = []
        with relay:
            begun = [elements[index] for index in missing]
            for number, error in session.map(
                execute, begun, lambda number: relay.begin(missing[number])
            ):
                self.store.hashes.refresh()
                index = missing[number]
                element = elements[index]
                record = None if error else element.record(self.store)
                if record is None:
                    failures.append(_error_text(element, error))
                    relay.fail(index)
                    if len(missing) > 1:
                        log.error("%s failed; the others go on", element.full_label)
                    continue
                records[index] = record
                relay.finish(index, record)
                self.ran.add((self.context.iteration, element.job), record.run)
                done = f"{len(records)} of {len(elements)}"
                log.info("%s done in %.1f s (%s)", element.full_label, record.run["seconds"], done)
        return failures

    def _session(self, spec: JobSpec) -> ComputeSession:
        """Return the open compute of a job; jobs with equal computes share one."""
        node = spec.compute or self.compute
        key = canonical(node)
        if key not in self._sessions:
            session = build(node, self.allowed).open()
            self._sessions[key] = self._open.enter_context(session)
        return self._sessions[key]

    def _add(
        self, spec: JobSpec, elements: Sequence[Element], records: Sequence[JobRecord]
    ) -> None:
        """Put a finished job into the context and the run's folder."""
        for element, record in zip(elements, records, strict=True):
            _log_figures(element.full_label, record.outputs)
        outputs = finish(spec, elements, records, self.context)
        for label, means in candidate_means(spec, outputs):
            _log_figures(f"{spec.name} ({label})" if label else f"{spec.name}, mean", means)
            if not label:
                self.watcher.watch(means, name=spec.name)
        known = {key: None if isinstance(each, NoMean) else each for key, each in outputs.items()}
        info = {"meta_name": spec.name, "iteration": self.context.iteration, **known}
        self.folder.add_outputs(spec.pipeline, info)


def _counts(
    num_elements: int, num_missing: int, session: ComputeSession | None, is_forced: bool
) -> str:
    if not num_missing:
        return "recorded" if num_elements == 1 else f"all {num_elements} recorded"
    if num_elements == 1:
        return f"running ({'forced, ' if is_forced else ''}{session})"
    why = "forced" if is_forced else f"{num_elements - num_missing} recorded"
    return f"{num_elements} elements, {why}, running {num_missing} ({session})"


def _error_text(element: Element, error: Exception | None) -> str:
    if isinstance(error, ElementFailed):
        return str(error)
    if isinstance(error, OSError):
        return f"{element.full_label}: {fault_text(error)}"
    return f"{element.full_label}: {error or 'left no record'}"


def _failure_text(job: str, failures: Sequence[str], num_elements: int) -> str:
    if num_elements == 1:
        return "\n".join(failures)
    done = num_elements - len(failures)
    count = f"{job}: {len(failures)} of {num_elements} failed, {done} recorded"
    return "\n".join([count, *failures])


def _log_figures(label: str, outputs: Mapping[str, Any]) -> None:
    """Log the numbers among the outputs of an element or candidate, deviations after means."""
    numbers = {key: value for key, value in outputs.items() if isinstance(value, (int, float))}
    deviations = {key: numbers.pop(f"{key}_std", None) for key in [*numbers]}
    figures = []
    for key, value in numbers.items():
        spread = deviations[key]
        figures.append(f"{key} {value:.4g}" + ("" if spread is None else f" ± {spread:.2g}"))
    if figures:
        more = f", … ({len(figures)} in all)" if len(figures) > _MOST_FIGURES else ""
        log.info("  %s: %s%s", label, ", ".join(figures[:_MOST_FIGURES]), more)
