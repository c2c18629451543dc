"""One element job: what it is, how it is fingerprinted, and doing it, in whatever process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sandbox import components
from sandbox.claims import Claim, ClaimLost, work_dirs
from sandbox.hashing import ContentHashes, canonical, digest
from sandbox.job import JobScope, Outputs, numbers
from sandbox.store import JobRecord, JobStore, write_durably

log = logging.getLogger(__name__)


class ElementFailed(RuntimeError):
    """An element job did not finish; the message says why and where its log is."""


@dataclass(frozen=True)
class Element:
    """One element job, resolved: everything that a process needs to do it.

    Args:
        job: Name of the job.
        label: What people see: ``train``, or ``train[3]`` for an element of a mapped job.
        title: What tells it from the job's other elements, in short; empty for a job that is not mapped.
        config: The hook's node; every reference replaced, secrets as ``${oc.env:NAME}``.
        parts: What its fingerprint is made of.
        store_dir: Root of the job store.
        allowed: Patterns of allowed targets.
        not_before: A record made earlier than this (seconds since the epoch) does not count: ``force``.
    """

    job: str
    label: str
    config: Mapping[str, Any]
    parts: Mapping[str, Any]
    store_dir: Path
    allowed: tuple[str, ...]
    not_before: float = 0.0
    title: str = ""
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", digest(canonical(self.parts))[:16])

    @property
    def folder(self) -> Path:
        """Folder of this element in the store."""
        return self.store_dir.absolute() / self.job / self.fingerprint

    def record(self, store: JobStore) -> JobRecord | None:
        """Its record, if it is finished and that counts."""
        record = store.find(self.job, self.fingerprint)
        return record if record and record.run["ended"] >= self.not_before else None


def parts_of(
    config: Mapping[str, Any], allowed: Sequence[str], hashes: ContentHashes, outputs: Mapping[str, str]
) -> dict[str, Any]:
    """What an element's fingerprint is made of: dotted argument → value, or content of what it reads.

    Defaults count: spelling one out changes nothing, and where the code changes one, the job runs again.

    Args:
        config: The hook's node, resolved.
        allowed: Patterns of allowed targets.
        hashes: Hashes files and folders.
        outputs: Content hash by path of the outputs of this run's jobs.
    """
    parts: dict[str, Any] = {}
    whole = components.convert(components.with_defaults(config, allowed), allowed)
    for where, value in _leaves(whole, ""):
        if isinstance(value, Path):
            parts[where] = _content(value, hashes.of(value))
        elif isinstance(value, str) and (output := _output_of(value, outputs)):
            parts[where] = f"{os.path.relpath(value, Path(output).parent)}: {outputs[output]}"
        else:
            canonical(value)
            parts[where] = value
    for where, node in components.nodes(config, ""):
        declared = getattr(components.locate(node["_target_"], allowed), "VERSION", None)
        if declared is not None:
            parts[f"{where}._version_".lstrip(".")] = declared
    return parts


def _output_of(text: str, outputs: Mapping[str, str]) -> str | None:
    """The recorded output that ``text`` is the path of, or the path of a part of."""
    paths = [text, *map(str, Path(text).parents)] if text.startswith(os.sep) else []
    return next((path for path in paths if path in outputs), None)


def _content(path: Path, content_hash: str) -> str:
    """A file or folder in a fingerprint: components name what they write after what they read."""
    return f"{path.name}: {content_hash}"


def is_content(part: str) -> bool:
    """Whether a part of a fingerprint stands for a file or folder."""
    return re.fullmatch(r".*: [0-9a-f]{64}", part) is not None


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Values by place; no two places have one name: ``a.b.c``, ``a.'b.c'``, ``a[0]``, ``a.'0'``."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            name = key if isinstance(key, str) and key.isidentifier() else repr(key)
            yield from _leaves(child, f"{where}.{name}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(child, (Path, Mapping, list, str)) for child in value):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{where}[{index}]")
    else:
        yield where, value


def execute(element: Element) -> None:
    """Do an element job, unless it is or was done elsewhere meanwhile, and write its record.

    Raises:
        ElementFailed: The job failed; the attempt is recorded, and nothing counts as complete.
    """
    store = JobStore(element.store_dir)
    with store.claim(element.job, element.fingerprint, lambda: element.record(store) is not None) as claim:
        if claim is None:
            return
        attempt = _Attempt(element, claim)
        started = time.time()
        try:
            outputs = attempt.run()
            store.hashes.look_again()
            store.commit(_record(element, store, outputs, attempt.metrics(), started), claim)
        except (Exception, SystemExit) as error:  # some libraries end the process, even with status 0
            attempt.fail(error, started)
            lines = str(error).strip() or type(error).__name__
            prefix = (
                "" if isinstance(error, (ValueError, RuntimeError, OSError)) else f"{type(error).__name__}: "
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
        hook_class = components.locate(self.element.config["_target_"], self.element.allowed)
        self._prepare()
        hook = components.build(self.element.config, self.element.allowed)
        cache_dir = self.element.store_dir.absolute() / ".cache"  # no job's name: that is one word
        scope = JobScope(self.element.job, self.output_dir, self.log_path, self._watch, cache_dir)
        outputs = hook.run(scope)
        declared = set(components.declared_outputs(self.element.config, self.element.allowed))
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
        return [(self.work_dir, "metrics.jsonl"), (self.work_dir, "out"), (self.folder, "record.json")]

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


def metrics_event(line: bytes) -> Mapping[str, Any] | None:
    """One line of an attempt's metrics; ``None`` for what a full disk or a lost machine cut short."""
    try:
        event: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


def _resumable(element: Element) -> bool:
    return any(
        getattr(components.locate(node["_target_"], element.allowed), "RESUMABLE", False)
        for _, node in components.nodes(element.config, "")
    )


def source_hashes(config: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, str]:
    """Hash of the source file of every class in a node, by target."""
    found = {}
    for _, node in components.nodes(config, ""):
        module = sys.modules[components.locate(node["_target_"], allowed).__module__]
        if module.__file__:
            found[node["_target_"]] = digest(Path(module.__file__).read_text())[:16]
    return found


def _record(
    element: Element, store: JobStore, outputs: Outputs, metrics: list[Mapping[str, Any]], started: float
) -> JobRecord:
    hashes: dict[str, str] = {}
    plain = {
        key: _plain(
            value, f"{element.label}.{key}", lambda path: hashes.setdefault(str(path), store.hashes.of(path))
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
