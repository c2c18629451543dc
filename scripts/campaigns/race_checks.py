"""Find the faults after a race: jobs done twice, lost or torn, wrong results and exit statuses."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import drivers
import outcome
from drivers import Driver
from outcome import Outcome, Wrong
from racers import Runner
from rounds import Round

from sandbox.system.files import read_json


def statuses(runners: Sequence[Runner]) -> Iterator[Wrong]:
    """Yield the drivers that did not end as they should.

    While a job is forced, it has no outputs, so that a job that reads them may fail.
    """
    for runner in runners:
        driver = runner.driver
        assert driver
        text = driver.text()
        right = {0}
        if runner.disturbed == "killed":
            right = {0, -9}
        elif runner.disturbed == "suspended" and "took the job over" in text:
            right = {0, 1}
        if driver.status == 1 and re.search(r"/out/\S+ does not exist", text):
            runner.disturbed = "met a job that another driver was forcing"
            right = {1}
        if driver.status not in right:
            yield "wrong exit status", f"{driver.status} of {driver.log_path.name}: {text[-600:]}"
        if "Traceback" in text:
            yield "tracebacks", driver.log_path.name


def done_twice(game: Round, runners: Sequence[Runner]) -> Iterator[Wrong]:
    """Yield the commits of a job for which its driver had no reason."""
    forced = _forced(game)
    by_pid = {runner.driver.pid: runner for runner in runners if runner.driver}
    for key, attempts in attempts_of(game.folder).items():
        job, fingerprint = key.split("/")
        last = 0  # the attempt that made the record so far
        for number in sorted(attempts):
            pid, record = attempts[number]
            after = forced.get(pid, {}).get(job, {}).get(fingerprint, 0)
            if record is None:
                if after >= last:
                    last = 0  # it may have moved the record away before it died
                continue
            if last > after:
                yield "done twice", f"{key}: attempts {last} and {number}, by {by_pid.get(pid)}"
            last = number


def attempts_of(folder: Path) -> dict[str, dict[int, tuple[int, Any]]]:
    """Return process and record, if any, of each attempt by its number, by key."""
    found: dict[str, dict[int, tuple[int, Any]]] = defaultdict(dict)
    committed: dict[str, dict[int, Any]] = defaultdict(dict)
    for path in (folder / "store").rglob("record.json"):
        data = json.loads(path.read_text())
        key = f"{data['job']}/{data['fingerprint']}"
        if data["attempt"] in committed[key]:
            raise AssertionError(f"two records of attempt {data['attempt']} of {key}")
        committed[key][data["attempt"]] = data
    for path in (folder / "store").glob("*/*/attempts/*/owner.json"):
        key, number = "/".join(path.parts[-5:-3]), int(path.parts[-2])
        pid = json.loads(path.read_text())["pid"]
        found[key][number] = (pid, committed[key].get(number))
    return found


def _forced(game: Round) -> Mapping[int, Any]:
    path = game.folder / "forced"
    lines = path.read_text().splitlines() if path.exists() else []
    return {line["pid"]: line["forced"] for line in map(json.loads, lines)}


def at_once(game: Round, runners: Sequence[Runner]) -> Iterator[Wrong]:
    """Yield programs that trained one model at the same time, though both drivers were well."""
    disturbed = {runner.driver.marker for runner in runners if runner.driver and runner.disturbed}
    spans: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for line in drivers.lines_of(game.ledger):
        spans[line["key"], line["driver"], line["pid"]].append(line["time"])
    by_key: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for (key, driver, _), times in spans.items():
        if driver not in disturbed:
            by_key[key].append((min(times), max(times), driver))
    for key, found in by_key.items():
        for one, other in itertools.pairwise(sorted(found)):
            if other[0] < one[1]:
                yield "done twice", f"{key} at once by {one} and {other}"


def right_results(game: Round, runners: Sequence[Runner], expected: Mapping[str, Outcome]) -> Any:
    """Yield what undisturbed drivers returned, or recorded, other than an undisturbed run."""
    for runner in runners:
        if runner.driver is None or runner.driver.status != 0:
            continue
        infos = _infos(game, runner.driver)
        if infos != _plain(expected[runner.experiment].infos):
            yield "damaged", f"context_infos.json of {runner.driver.log_path.name}: {infos}"
    recorded = outcome.records(game.folder)
    for key in sorted(wanted(game, runners, expected) - recorded.keys()):
        yield "records lost", key


def wanted(game: Round, runners: Sequence[Runner], expected: Mapping[str, Outcome]) -> set[str]:
    """Return the keys that must have a record after the race: those that drivers left alone want.

    Forcing a job says that its record does not count any more. So a driver that forces it and is
    killed may leave it without one.
    """
    left_alone = {runner.experiment for runner in runners if not runner.disturbed}
    keys = {key for name in left_alone for key in expected[name].records}
    killed = {
        runner.driver.pid: runner.force
        for runner in runners
        if runner.driver and runner.disturbed == "killed"
    }
    for key, attempts in attempts_of(game.folder).items():
        pid, record = attempts[max(attempts)]
        if record is None and killed.get(pid) == key.partition("/")[0]:
            keys.discard(key)
    return keys


def _infos(game: Round, driver: Driver) -> str:
    name = driver.marker.rpartition("#")[2]
    path = game.folder / "runs" / name / "context_infos.json"
    return _plain(path.read_text().replace(str(game.folder), "")) if path.exists() else "none"


def _plain(text: str) -> str:
    """Return context infos without the folders in which attempts after a lost one work."""
    return re.sub(r"after_\d+/", "", text)


def run_again(
    game: Round, runners: Sequence[Runner], expected: Mapping[str, Outcome]
) -> Iterator[Wrong]:
    """Run every experiment once more; yield what is then wrong."""
    before = outcome.records(game.folder)
    keys = wanted(game, runners, expected)
    for name, right in expected.items():
        num_lines = len(drivers.lines_of(game.ledger))
        driver = game.start([f"+experiment={name}"])
        game.wait(driver)
        if driver.status != 0:
            yield "wrong exit status", f"{driver.status} of {driver.log_path.name}: {driver.text()}"
        elif _infos(game, driver) != _plain(right.infos):
            yield "damaged", f"context_infos.json of {driver.log_path.name}"
        for line in drivers.lines_of(game.ledger)[num_lines:]:
            if line["key"] in keys:
                yield "done twice", f"{line} after the race"
    after = outcome.records(game.folder)
    for key in before.keys() & after.keys():
        if before[key] != after[key]:
            yield "records lost", f"{key} was replaced at the end"
    dead = {runner.driver.pid for runner in runners if runner.driver and runner.disturbed}
    for path in outcome.litter(game.folder):
        # a driver was killed before it did anything: the record is there, so nobody looks at it
        owner = read_json((game.folder / path).with_name("owner.json")) or {}
        if not (path.endswith("/claim") and owner.get("pid") in dead):
            yield "litter", path
    everything = {key: steps for one in expected.values() for key, steps in one.steps.items()}
    found = Outcome.of(game.folder)
    for key, steps in found.steps.items():
        yield from outcome.unequal(everything[key], steps, f"the record of {key}")
