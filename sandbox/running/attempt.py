"""Do one element job, in whatever process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sandbox.components.allowed import locate, reach_working_directory
from sandbox.components.build import build
from sandbox.components.job_results import (
    WrongResults,
    as_outputs,
    producer,
    result_problems,
    results_class,
)
from sandbox.components.tree import leaves, mapped, nodes
from sandbox.job import RESUME_NAME, JobScope, Outputs, is_real, numbers
from sandbox.running.leaving import no_silent_exit
from sandbox.store.claims import Claim, ClaimLost, work_dirs
from sandbox.store.content import digest
from sandbox.store.fingerprint import Element
from sandbox.store.metrics import METRICS_NAME
from sandbox.store.records import RESERVED_KEYS, JobRecord, JobStore
from sandbox.store.sources import sources_of
from sandbox.system.files import append_line, fault_text, write_durably
from sandbox.system.usage import UsageMeter

log = logging.getLogger(__name__)

_DEEPEST = 50  # far below where Python, OmegaConf and JSON parsers give up


class ElementFailed(RuntimeError):
    """An element job did not finish; the message gives the reason and the log file."""


def execute(element: Element) -> None:
    """Do an element job, unless another process does or did it meanwhile, and write its record.

    Raises:
        ElementFailed: The job failed; the attempt is recorded, and nothing counts as complete.
    """
    reach_working_directory()  # from a process of a cluster, which keeps away from it
    store = JobStore(element.store_dir)
    with store.claim(
        element.job, element.fingerprint, lambda: element.record(store) is not None
    ) as claim:
        if claim is None:
            return
        attempt = _Attempt(element, claim)
        started = time.time()
        try:
            with UsageMeter() as meter:
                outputs = attempt.run()
                store.hashes.refresh()
                record = _record(attempt, store, outputs, started, meter)
            store.commit(record, claim)
        except (Exception, SystemExit) as error:  # some libraries exit, even with status 0
            attempt.fail(error, started)
            raise ElementFailed(_failure(element, error, attempt.log_path)) from error
        except BaseException as error:
            attempt.fail(error, started)
            raise
        discard_resume_state(element)


def discard_resume_state(element: Element) -> None:
    """Remove what the attempts at a recorded element left to resume from."""
    left = [path / "out" / RESUME_NAME for path in work_dirs(element.folder)]
    left = [path for path in left if path.exists()]
    if left and _resumable(element):
        for path in left:
            shutil.rmtree(path, ignore_errors=True)


def _failure(element: Element, error: BaseException, log_path: Path) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, OSError):
        text = fault_text(error)
    elif not isinstance(error, (ValueError, RuntimeError)):
        text = f"{type(error).__name__}: {text}"
    log_line = "" if str(log_path) in text else f"\nlog: {log_path}"
    return f"{element.full_label}: {text}{log_line}"


class _Attempt:
    """One attempt at an element job, in its folder."""

    def __init__(self, element: Element, claim: Claim) -> None:
        self.element = element
        self.claim = claim
        self.folder = claim.folder
        *self.earlier_dirs, self.work_dir = work_dirs(claim.folder)
        self.output_dir = self.work_dir / "out"
        self.metrics_path = self.work_dir / METRICS_NAME
        self.log_path = self.folder / "logs" / f"{claim.number}.log"
        self.sources: Mapping[str, Any] = {}
        self._continued: Counter[str] = Counter()  # lines of metrics by earlier attempts
        self._is_ended = False
        self.previous_dir = claim.attempt_dir.with_name(f"{claim.number - 1}")

    def run(self) -> Outputs:
        """Build the hook, run it, and return its results by name."""
        config, allowed = self.element.config, self.element.allowed
        producer_class = producer(config, allowed)
        declared = results_class(config, allowed)
        self.sources = sources_of(config, allowed)  # now: files may be edited while it runs
        self._prepare()
        hook = build(config, allowed)
        scope = JobScope(
            name=self.element.job,
            output_dir=self.output_dir,
            log_path=self.log_path,
            watch=self._watch,
            cache_dir=self.element.store_dir.absolute()
            / ".cache",  # no job's name: that is one word
            earlier_log_paths=self._continued_logs(),
        )
        try:
            with no_silent_exit():
                results = hook.run(scope=scope)
            return as_outputs(results, declared)
        except WrongResults as error:
            name = producer_class.__name__ if producer_class else type(hook).__name__
            raise RuntimeError(f"{name} {error}") from error

    def end_metrics(self) -> Path | None:
        """Let the file of metrics grow no more; return it, ``None`` where nothing was watched."""
        self._is_ended = True
        if not self.metrics_path.exists():
            return None
        with self.metrics_path.open("rb") as file:
            os.fsync(file.fileno())
        return self.metrics_path

    def fail(self, error: BaseException, started: float) -> None:
        """Record the failure, and put back a complete result that a forced rerun had moved away."""
        failure = {
            "error": "".join(traceback.format_exception_only(error)).strip(),
            "started": started,
            "ended": time.time(),
            "log": str(self.log_path),
        }
        path, text = self.claim.attempt_dir / "failure.json", json.dumps(failure, indent=1)
        with contextlib.suppress(OSError):  # a full disk, say, which must not hide the error itself
            if self.claim.is_held and (self.previous_dir / "record.json").exists():
                self.output_dir.rename(self.previous_dir / "failed")
                self._put_back()
            try:
                self.claim.end_as(path, text)
            except ClaimLost:
                write_durably(path, text)

    def _prepare(self) -> None:
        """Make the log and an empty folder; a resumable component finds its last attempt's files.

        An interruption at any point is safe: the next attempt has a number of its own, and the
        record is moved last, after the results that it belongs to.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.touch()
        if (self.folder / "record.json").exists() or not _resumable(self.element):
            self._put_aside()
        elif not self.output_dir.exists():
            self._adopt()
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._continue_metrics()
        import yaml

        write_durably(
            self.folder / "config.yaml",
            yaml.safe_dump(_yaml_data(self.element.config), sort_keys=False, allow_unicode=True),
        )

    def _put_aside(self) -> None:
        """Move what is there into the folder of the last attempt.

        Raises:
            ClaimLost: Another process has taken the job over; its record is where it was.
        """
        for root, name in self._products():
            if (root / name).exists():
                self.previous_dir.mkdir(parents=True, exist_ok=True)
                (root / name).replace(self.previous_dir / name)
        # Asked afterwards: if the claim is still held, the moved record is none of a successor's.
        try:
            self.claim.ensure_held()
        except ClaimLost:
            self._put_back()
            raise

    def _put_back(self) -> None:
        """Move back what was put aside, the record last."""
        for root, name in self._products()[:-1]:
            if (self.previous_dir / name).exists():
                (self.previous_dir / name).replace(root / name)
        self._put_back_record()

    def _put_back_record(self) -> None:
        """Move the record back, unless a successor has written one meanwhile."""
        aside = self.previous_dir / "record.json"
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.link(aside, self.folder / "record.json")  # unlike a rename, replaces nothing
            aside.unlink()
        with contextlib.suppress(OSError):  # not empty, except before the first attempt
            self.previous_dir.rmdir()

    def _continue_metrics(self) -> None:
        """Note which metrics earlier attempts have recorded."""
        if not self.metrics_path.exists():
            return
        text = self.metrics_path.read_text(encoding="utf-8", errors="replace")
        self._continued.update(text.splitlines())

    def _continued_logs(self) -> list[Path]:
        """Return the logs of the attempts whose results this one continues, oldest first."""
        logs: list[Path] = []
        for number in range(self.claim.number - 1, 0, -1):
            attempt_dir = self.claim.attempt_dir.with_name(f"{number}")
            # Results were moved here: whoever came later began with an empty folder.
            if any((attempt_dir / name).exists() for _, name in self._products()):
                break
            logs.insert(0, self.folder / "logs" / f"{number}.log")
        return [path for path in logs if path.exists()]

    def _products(self) -> list[tuple[Path, str]]:
        """Return folder and name of everything that an attempt makes, the record last."""
        return [
            (self.work_dir, METRICS_NAME),
            (self.work_dir, "out"),
            (self.folder, "record.json"),
        ]

    def _adopt(self) -> None:
        """Copy the results of a lost attempt, whose programs may still write to the original."""
        left = next((path for path in reversed(self.earlier_dirs) if (path / "out").exists()), None)
        if left is None:
            return
        for unfinished in self.work_dir.glob("copy_*"):  # its process was killed
            shutil.rmtree(unfinished)
        copy = self.work_dir / f"copy_{self.claim.number}"
        shutil.copytree(left / "out", copy, symlinks=True)
        if (left / METRICS_NAME).exists():
            shutil.copyfile(left / METRICS_NAME, self.metrics_path)
        copy.rename(self.output_dir)

    def _watch(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if self._is_ended:  # by a thread that its component has left behind
            return
        line = json.dumps({"metrics": numbers(metrics), "step": step})
        if self._continued[line]:  # an earlier attempt's, read from its log again
            self._continued[line] -= 1
            return
        append_line(self.metrics_path, line)


def _resumable(element: Element) -> bool:
    classes = [locate(node["_target_"], element.allowed) for _, node in nodes(element.config)]
    return any(getattr(cls, "RESUMABLE", False) for cls in classes)


def _yaml_data(config: Mapping[str, Any]) -> Any:
    return mapped(config, lambda leaf: str(leaf) if isinstance(leaf, Path) else leaf)


def _record(
    attempt: _Attempt, store: JobStore, outputs: Outputs, started: float, meter: UsageMeter
) -> JobRecord:
    element = attempt.element
    checked = {key: _recordable(value, f"{element.label}.{key}") for key, value in outputs.items()}
    wrong = result_problems(checked, results_class(element.config, element.allowed))
    if wrong:
        raise RuntimeError("\n".join(f"{element.label}.{problem}" for problem in wrong))
    paths = [leaf for _, leaf in leaves(checked) if isinstance(leaf, Path)]
    metrics_path = attempt.end_metrics()
    if metrics_path is not None:
        paths.append(metrics_path)
    hashes = {str(path): store.hashes.of(path) for path in paths}
    run = {
        "started": started,
        "ended": time.time(),
        **asdict(meter.usage()),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": platform.node(),
        "pid": os.getpid(),
        "command": sys.argv,
        "versions": {"python": platform.python_version(), "hydra": version("hydra-core")},
        **attempt.sources,
    }
    return JobRecord(
        job=element.job,
        fingerprint=element.fingerprint,
        attempt=attempt.claim.number,
        parts=element.parts,
        outputs=checked,
        hashes=hashes,
        metrics=metrics_path or (),
        run=run,
    )


def _recordable(value: Any, where: str, depth: int = 0) -> Any:
    """Return an output as plain data, paths absolute.

    Raises:
        RuntimeError: It holds something that a later run could not read: see the messages.
    """
    if depth > _DEEPEST:
        raise RuntimeError(f"{where}: an output may be nested at most {_DEEPEST} deep")
    if isinstance(value, Path):
        if not value.exists():
            raise RuntimeError(f"{where}: the output {value} was not written")
        return value.absolute()
    if isinstance(value, Mapping):
        for key in RESERVED_KEYS & value.keys():
            raise RuntimeError(f"{where}: an output may not hold a {key}")
        return {
            _text(str(key), where): _recordable(child, f"{where}.{key}", depth + 1)
            for key, child in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_recordable(child, where, depth + 1) for child in value]
    if hasattr(value, "item"):  # a numpy scalar; an array of several values has no item
        with contextlib.suppress(ValueError):
            value = value.item()
    if isinstance(value, str):
        return _text(value, where)
    if value is None or is_real(value):
        return value
    if isinstance(value, int):
        size = len(f"{value:x}")
        raise RuntimeError(f"{where}: an output of {size} hexadecimal digits is above 1.8e308")
    kind = type(value).__name__
    raise RuntimeError(f"{where}: an output must be JSON or a path, got {kind}")


def _text(text: str, where: str) -> str:
    if "${" in text:
        raise RuntimeError(f"{where}: an output may not hold an interpolation: {text!r}")
    try:
        digest(text)
    except UnicodeEncodeError as error:
        raise RuntimeError(f"{where}: an output must be Unicode text: {error}") from error
    return text
