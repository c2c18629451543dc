"""One element job: what it is, how it is fingerprinted, and doing it, in whatever process."""

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
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.build import build
from sandbox.components.checks import declared_outputs, nodes
from sandbox.job import JobScope, Outputs, numbers
from sandbox.store.claims import Claim, ClaimLost, work_dirs
from sandbox.store.fingerprint import Element, source_hashes
from sandbox.store.records import JobRecord, JobStore
from sandbox.system.files import write_durably

log = logging.getLogger(__name__)


class ElementFailed(RuntimeError):
    """An element job did not finish; the message says why and where its log is."""


def execute(element: Element) -> None:
    """Do an element job, unless it is or was done elsewhere meanwhile, and write its record.

    Raises:
        ElementFailed: The job failed; the attempt is recorded, and nothing counts as complete.
    """
    store = JobStore(element.store_dir)
    with store.claim(
        element.job, element.fingerprint, lambda: element.record(store) is not None
    ) as claim:
        if claim is None:
            return
        attempt = _Attempt(element, claim)
        started = time.time()
        try:
            outputs = attempt.run()
            store.hashes.look_again()
            store.commit(_record(element, store, outputs, attempt.metrics(), started), claim)
        except (
            Exception,
            SystemExit,
        ) as error:  # some libraries end the process, even with status 0
            attempt.fail(error, started)
            lines = str(error).strip() or type(error).__name__
            prefix = (
                ""
                if isinstance(error, (ValueError, RuntimeError, OSError))
                else f"{type(error).__name__}: "
            )
            where = "" if str(attempt.log_path) in lines else f"\nlog: {attempt.log_path}"
            raise ElementFailed(f"{element.label}: {prefix}{lines}{where}") from error
        except BaseException as error:
            attempt.fail(error, started)
            raise


class _Attempt:
    """One attempt at an element job, in its folder."""

    def __init__(self, element: Element, claim: Claim) -> None:
        self.element = element
        self.claim = claim
        self.folder = claim.folder
        *self.earlier_dirs, self.work_dir = work_dirs(claim.folder)
        self.output_dir = self.work_dir / "out"
        self.metrics_path = self.work_dir / "metrics.jsonl"
        self.log_path = self.folder / "logs" / f"{claim.number}.log"
        self.aside = claim.attempt_dir.with_name(f"{claim.number - 1}")

    def run(self) -> Outputs:
        """Build the hook and run it."""
        hook_class = locate(self.element.config["_target_"], self.element.allowed)
        self._prepare()
        hook = build(self.element.config, self.element.allowed)
        cache_dir = self.element.store_dir.absolute() / ".cache"  # no job's name: that is one word
        scope = JobScope(self.element.job, self.output_dir, self.log_path, self._watch, cache_dir)
        outputs = hook.run(scope)
        declared = set(declared_outputs(self.element.config, self.element.allowed))
        if set(outputs) != declared:
            raise RuntimeError(
                f"{hook_class.__name__} declares outputs {sorted(declared)} but returned {sorted(outputs)}"
            )
        return dict(outputs)

    def metrics(self) -> list[Mapping[str, Any]]:
        """What was watched, in order; of a step that a resumed program repeated, the last."""
        if not self.metrics_path.exists():
            return []
        events = map(metrics_event, self.metrics_path.read_bytes().splitlines())
        lines = [event for event in events if event]
        kept = {
            (str(i) if line["step"] is None else line["step"], *line["metrics"]): line
            for i, line in enumerate(lines)
        }
        return [*kept.values()]

    def fail(self, error: BaseException, started: float) -> None:
        """Record the failure; what stood here complete before a forced rerun is put back."""
        failure = {
            "error": "".join(traceback.format_exception_only(error)).strip(),
            "started": started,
            "ended": time.time(),
            "log": str(self.log_path),
        }
        path, text = self.claim.attempt_dir / "failure.json", json.dumps(failure, indent=1)
        with contextlib.suppress(OSError):  # a full disk, say, which must not hide the error itself
            if self.claim.is_held and (self.aside / "record.json").exists():
                self.output_dir.rename(self.aside / "failed")
                for root, name in self._standing():
                    if (self.aside / name).exists():
                        (self.aside / name).replace(root / name)
            try:
                self.claim.end_as(path, text)
            except ClaimLost:
                write_durably(path, text)

    def _prepare(self) -> None:
        """The log, and an empty folder, or for a resumable component what its last attempt left.

        Whenever this is cut short, the next attempt finds all in order: it has a number of its own, and
        the record leaves last, after what it vouches for.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.touch()
        if (self.folder / "record.json").exists() or not _resumable(self.element):
            for root, name in self._standing():
                if (root / name).exists():
                    self.aside.mkdir(parents=True, exist_ok=True)
                    (root / name).replace(self.aside / name)
        elif not self.output_dir.exists():
            self._adopt()
        self.output_dir.mkdir(parents=True, exist_ok=True)
        import yaml

        write_durably(
            self.folder / "config.yaml",
            yaml.safe_dump(dict(self.element.config), sort_keys=False, allow_unicode=True),
        )

    def _standing(self) -> list[tuple[Path, str]]:
        """What an attempt makes, by folder and name, the record last."""
        return [
            (self.work_dir, "metrics.jsonl"),
            (self.work_dir, "out"),
            (self.folder, "record.json"),
        ]

    def _adopt(self) -> None:
        """Copy what the lost attempt had done; its programs may still be writing where it is."""
        left = next((path for path in reversed(self.earlier_dirs) if (path / "out").exists()), None)
        if left is None:
            return
        copy = self.work_dir / f"copy_{self.claim.number}"
        shutil.copytree(left / "out", copy, symlinks=True)
        if (left / "metrics.jsonl").exists():
            shutil.copyfile(left / "metrics.jsonl", self.metrics_path)
        copy.rename(self.output_dir)

    def _watch(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"metrics": numbers(metrics), "step": step}) + "\n")


def metrics_event(line: str | bytes) -> Mapping[str, Any] | None:
    """One line of an attempt's metrics; ``None`` for what a full disk or a lost machine cut short."""
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


def _resumable(element: Element) -> bool:
    return any(
        getattr(locate(node["_target_"], element.allowed), "RESUMABLE", False)
        for _, node in nodes(element.config, "")
    )


def _record(
    element: Element,
    store: JobStore,
    outputs: Outputs,
    metrics: list[Mapping[str, Any]],
    started: float,
) -> JobRecord:
    hashes: dict[str, str] = {}
    plain = {
        key: _plain(
            value,
            f"{element.label}.{key}",
            lambda path: hashes.setdefault(str(path), store.hashes.of(path)),
        )
        for key, value in outputs.items()
    }
    run = {
        "started": started,
        "ended": time.time(),
        "seconds": round(time.time() - started, 2),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": platform.node(),
        "pid": os.getpid(),
        "command": sys.argv,
        "versions": {"python": platform.python_version(), "hydra": version("hydra-core")},
        "sources": source_hashes(element.config, element.allowed),
    }
    return JobRecord(element.job, element.fingerprint, element.parts, plain, hashes, metrics, run)


def _plain(value: Any, where: str, on_path: Callable[[Path], Any]) -> Any:
    """``value`` as JSON; paths become strings and are reported to ``on_path``."""
    if isinstance(value, Path):
        if not value.exists():
            raise RuntimeError(f"{where}: the output {value} was not written")
        on_path(value.absolute())
        return str(value.absolute())
    if isinstance(value, Mapping):
        if "_target_" in value:
            raise RuntimeError(f"{where}: an output may not hold a _target_")
        return {str(key): _plain(child, f"{where}.{key}", on_path) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child, where, on_path) for child in value]
    if isinstance(value, str) and "${" in value:
        raise RuntimeError(f"{where}: an output may not hold an interpolation: {value!r}")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    raise RuntimeError(f"{where}: an output must be JSON or a path, got {type(value).__name__}")
