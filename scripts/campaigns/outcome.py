"""Find what runs have left in a folder, and the faults in it.

The folder holds ``store/``, ``runs/<n>/``, ``tmp/`` and ``driver_<n>.txt``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers import lines_of

from sandbox.store.metrics import read_metrics

NORMAL = re.compile(
    r"""
    ledger | forced | driver_[\w.]+\.txt | store/hashes\.jsonl
    | store/\w+/[0-9a-f]{16}/(
        record\.json | config\.yaml | metrics\.jsonl | logs/\d+\.log
        | (after_\d+/)?out/[\w.]+(?<!\.new)
        | after_\d+/metrics\.jsonl
        | attempts/\d+/(owner\.json | died | lost | (failure|record)\.json | metrics\.jsonl)
        | attempts/\d+/(out|failed)/.*
    )
    | runs/\w+/(\.hydra/\w+\.yaml | sandbox\.log | metrics\.jsonl | context_infos\.json)
    | runs/\w+/jobs(_\d+)?/.*
    """,
    re.VERBOSE,
)
"""Files that may be there after the last run, relative to the folder."""

FAULTS = (
    *("records lost", "done twice", "metrics lost", "metrics twice", "processes left", "hangs"),
    *("litter", "damaged", "wrong exit status", "tracebacks"),
)
"""Kinds of faults."""

Wrong = tuple[str, str]
"""Kind of a fault, and details."""


@dataclass(frozen=True)
class Outcome:
    """Results of the last run in a folder, without anything that differs between two runs.

    Args:
        records: What each job's record says, by key (``<job>/<fingerprint>``).
        steps: How often each metric of a step is in the record, by key.
        files: Hash of every output file, by path.
        metrics: How often each metric of a step is in the run's file.
        infos: The run's ``context_infos.json``.
    """

    records: Mapping[str, Any]
    steps: Mapping[str, Counter[str]]
    files: Mapping[str, str]
    metrics: Counter[str]
    infos: str

    @classmethod
    def of(cls, folder: Path) -> Outcome:
        """Read a folder."""
        read = {key: json.loads(text) for key, text in records(folder).items()}
        kept = ("job", "fingerprint", "parts", "outputs")
        runs = sorted((folder / "runs").iterdir(), key=lambda path: int(path.name))
        infos = runs[-1] / "context_infos.json"
        return cls(
            records={key: {name: data[name] for name in kept} for key, data in read.items()},
            steps={key: _steps(folder / "store" / key, data) for key, data in read.items()},
            files=dict(_files(folder / "store", [*read])),
            metrics=_metrics(runs[-1]),
            infos=infos.read_text().replace(str(folder), "") if infos.exists() else "",
        )


def _steps(folder: Path, record: Mapping[str, Any]) -> Counter[str]:
    """Return how often each metric of a step is in the file of metrics that a record names."""
    path = folder / record["metrics"]["$path"] if record["metrics"] else folder / "none"
    return Counter(map(_text, read_metrics(path)))


def records(folder: Path) -> dict[str, bytes]:
    """Return the records of a store by key."""
    paths = (folder / "store").glob("*/*/record.json")
    return {f"{path.parts[-3]}/{path.parts[-2]}": path.read_bytes() for path in paths}


def differences(expected: Outcome, found: Outcome) -> Iterator[Wrong]:
    """Yield everything in which an outcome differs from that of an undisturbed run."""
    for key in expected.records.keys() - found.records.keys():
        yield "records lost", key
    for key in found.records.keys() - expected.records.keys():
        yield "damaged", f"a record that nobody asked for: {key}"
    for key in expected.records.keys() & found.records.keys():
        if expected.records[key] != found.records[key]:
            yield "damaged", f"the record of {key} is {found.records[key]}"
        yield from unequal(expected.steps[key], found.steps[key], f"the record of {key}")
    yield from unequal(expected.metrics, found.metrics, "metrics.jsonl of the last run")
    if expected.files != found.files:
        both = expected.files.items() ^ found.files.items()
        yield "damaged", f"output files: {sorted({name for name, _ in both})}"
    if expected.infos != found.infos:
        yield "damaged", f"context_infos.json is {found.infos}"


def unequal(expected: Counter[str], found: Counter[str], where: str) -> Iterator[Wrong]:
    """Yield metrics that are lost, or there too often."""
    lost, surplus = expected - found, found - expected
    if lost:
        yield "metrics lost", f"{where}: {len(lost)} of {len(expected)}: {sorted(lost)[:3]} …"
    if surplus:
        yield "metrics twice", f"{where}: {sorted(surplus.items())[:3]} …"


def repeated(ledger: Path, recorded: Mapping[str, Mapping[str, bytes]]) -> Iterator[Wrong]:
    """Yield work that was done although it was recorded, checkpointed, or being done.

    Args:
        ledger: The ledger.
        recorded: By driver, the records that were there when it began.
    """
    checkpoint: dict[str, int] = defaultdict(int)
    at_work: dict[str, int] = {}
    for line in lines_of(ledger):
        key, pid, step = line["key"], line["pid"], line.get("step")
        if key in recorded[line["driver"]]:
            yield "done twice", f"{key} had a record, then: {line}"
        if step is None:
            continue
        if line["what"] == "begin":
            at_work[key] = pid
            # a component that forgets begins at 0
            if 0 < step < checkpoint[key]:
                yield "done twice", f"{key} went on at {step}, not at {checkpoint[key]}"
        elif at_work[key] != pid:
            yield "done twice", f"two programs at once: {at_work[key]}, {line}"
        if line["what"] == "checkpoint":
            checkpoint[key] = step


def num_repeated_steps(ledger: Path) -> int:
    """Return how often a step was done that had been done before."""
    lines = [line for line in lines_of(ledger) if line["what"] == "step"]
    steps = Counter((line["key"], line["step"]) for line in lines)
    return sum(steps.values()) - len(steps)


def litter(folder: Path) -> list[str]:
    """Return the files that should not be there after the last run, and empty folders.

    The folders of earlier runs stay as these left them, and so does what a lost attempt has made.
    """
    found = []
    last = max(int(path.name) for path in (folder / "runs").iterdir())
    earlier = re.compile(rf"runs/(?!{last}\b).*")
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if earlier.fullmatch(name) or _is_lost(path, folder):
            continue
        is_empty = path.is_dir() and not any(path.iterdir()) and not path.is_symlink()
        if is_empty and name != "tmp" and not re.search(r"/attempts/\d+/|/out$|/jobs", name):
            found.append(f"{name}/")
        elif not path.is_dir() and not NORMAL.fullmatch(name):
            found.append(name)
    return sorted(found)


def _is_lost(path: Path, folder: Path) -> bool:
    """Return True below the output folder of an attempt that was taken over as lost."""
    parts = path.relative_to(folder).parts
    if parts[0] != "store" or len(parts) < 5:
        return False
    job = folder.joinpath(*parts[:3])
    lost = [int(one.parent.name) for one in job.glob("attempts/*/lost")]
    current = f"after_{max(lost)}" if lost else "out"
    is_output = parts[3] == "out" or parts[3].startswith("after_")
    return is_output and parts[3] != current


def _files(store: Path, keys: list[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        for path in (store / key / "out").rglob("*"):
            if path.is_file() and not path.name.endswith("_request.json"):
                yield str(path.relative_to(store)), hashlib.sha256(path.read_bytes()).hexdigest()


def _metrics(run: Path) -> Counter[str]:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(_text(json.loads(line)) for line in lines)


def _text(event: Mapping[str, Any]) -> str:
    return json.dumps([event["step"], event["metrics"]], sort_keys=True)
