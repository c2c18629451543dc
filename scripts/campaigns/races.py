"""Let many drivers race for the jobs of one store; then look for jobs done twice, lost or torn.

    python scripts/campaigns/races.py --minutes 10 --seed 1
    python scripts/campaigns/races.py --rounds 1 --drivers 128

In a round 64 drivers are forked at once, with experiments that share jobs. Some are killed, some
force jobs, some are suspended for longer than ``SANDBOX_LOST_AFTER_S``, and each pretends to be on
one of three hosts, so that others see only its heartbeat. Every job must be done exactly once for
each demand: once, and once more for a driver that forces it and finds it recorded. At the end every
experiment runs once more, which must find everything recorded that an undisturbed driver wanted.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drivers
import outcome
from campaign import Campaign, campaign
from drivers import Driver
from outcome import Outcome, Wrong
from rounds import Round

from sandbox.system.files import read_json

LOST_AFTER_S = 4.0
HANG_S = 240
NUM_FILES = 6
EXPERIMENT = """
pipelines: {{main: {{execution_jobs: [data, train], evaluation_jobs: [score]}}}}
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: train_model
  - /hook@jobs.score: evaluate_model
  - _self_
experiment_name: {name}
objective: max(score.total)
jobs:
  data: {{executor: {{_target_: counting.Numbers, num_files: {num_files}}}}}
  train:
    executor: {{_target_: counting.Counting, dataset_path: "???", num_steps: 30}}
    map: {{executor: {{dataset_path: [{paths}]}}}}
  score:
    eval_obj: ???
    evaluator: {{_target_: counting.Totals}}
    map: {{eval_obj: "${{output:train.checkpoint_path}}"}}
"""


def experiments(num_drivers: int) -> dict[str, str]:
    """Return experiments on pairs of data sets: any two share the data, and one training at most.

    A quarter as many as drivers, at least 3 and at most 15.
    """
    found = {}
    pairs = [*itertools.combinations(range(NUM_FILES), 2)]
    for pair in pairs[: max(3, num_drivers // 4)]:
        name = "pair_" + "_".join(map(str, pair))
        paths = ", ".join(f'"${{output:data.paths.{number}}}"' for number in pair)
        found[name] = EXPERIMENT.format(name=name, num_files=NUM_FILES, paths=paths)
    return found


@dataclass
class Runner:
    """One driver of a race, and what happens to it.

    Args:
        experiment: Its experiment.
        host: The host that it pretends to be on.
        force: The job that it forces; empty for none.
        starts_at: When it starts, in seconds after the race's start.
        disturbed: ``killed`` or ``suspended``; empty for a driver that is left alone.
        go_on_at: When it is suspended no longer, likewise.
    """

    experiment: str
    host: str
    force: str = ""
    starts_at: float = 0.0
    disturbed: str = ""
    go_on_at: float | None = None
    driver: Driver | None = None

    @property
    def is_running(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    def start(self, game: Round) -> None:
        """Fork the driver."""
        force = [f"force=[{self.force}]"] if self.force else []
        self.driver = game.start(
            [f"+experiment={self.experiment}", *force],
            before=_note_forced,
            variables={"SANDBOX_HOST": self.host, "SANDBOX_LOST_AFTER_S": str(LOST_AFTER_S)},
        )

    def disturb(self, rng: random.Random, now: float) -> None:
        """Kill the driver, or suspend it until another host takes it for dead."""
        assert self.driver
        self.disturbed = rng.choice(["killed", "killed", "suspended"])
        if self.disturbed == "killed":
            self.driver.signal(signal.SIGKILL)
        else:
            self.go_on_at = now + LOST_AFTER_S * rng.uniform(1.2, 2)
            self.driver.signal(signal.SIGSTOP)

    def go_on(self, now: float) -> None:
        """Let the driver go on, if it has been suspended long enough."""
        if self.driver and self.go_on_at is not None and now >= self.go_on_at:
            self.driver.signal(signal.SIGCONT)
            self.go_on_at = None


def drawn(rng: random.Random, num_drivers: int) -> list[Runner]:
    """Draw the drivers of a race; those that force begin when there is something to force."""
    names = [*experiments(num_drivers)]
    runners = []
    for _ in range(num_drivers):
        runner = Runner(rng.choice(names), rng.choice(["one", "two", "three"]))
        if rng.random() < 0.15:
            runner.force = rng.choice(["data", "train", "score"])
            runner.starts_at = rng.uniform(0, _start_s(num_drivers))
        runners.append(runner)
    return runners


def _note_forced() -> None:
    """Leave in the ledger the records that this driver finds and forces."""
    from sandbox.running import run

    plain = run.recorded_now

    def noted(*arguments: Any) -> Any:
        found = plain(*arguments)
        ledger = Path(drivers.os.environ["COUNTING_LEDGER"]).with_name("forced")
        line = json.dumps({"pid": drivers.os.getpid(), "forced": found})
        with ledger.open("a") as file:
            file.write(f"{line}\n")
        return found

    run.recorded_now = noted


def _start_s(num_drivers: int) -> float:
    """Return the seconds in which drivers start and are disturbed."""
    return min(20.0, 5 + num_drivers / 4)


def race(game: Round, runners: Sequence[Runner], rng: random.Random) -> None:
    """Start the drivers, disturb up to a quarter of them, and let them run to their ends."""
    began = time.monotonic()
    disturb_at = [rng.uniform(0.5, _start_s(len(runners))) for _ in range(len(runners) // 4)]
    while len(game.ended) < len(runners):
        now = time.monotonic() - began
        for runner in runners:
            if runner.driver is None and now >= runner.starts_at:
                runner.start(game)
            elif runner.driver and runner.driver.marker not in game.ended:
                runner.go_on(now)
                if not runner.is_running:
                    game.note_end(runner.driver)
                elif now > HANG_S:
                    game.fail("hangs", f"{runner} after {HANG_S} s")
                    runner.driver.stacks()
        if disturb_at and now >= min(disturb_at):
            disturb_at.remove(min(disturb_at))
            _disturb_one(game, runners, rng, now)
        game.look_at_left()
        time.sleep(0.02)
    game.wait_for_left()


def _disturb_one(game: Round, runners: Sequence[Runner], rng: random.Random, now: float) -> None:
    """Disturb a driver, more often one that has begun a job."""
    running = [runner for runner in runners if runner.is_running and not runner.disturbed]
    pids = set()
    for claim in (game.folder / "store").glob("*/*/attempts/*/claim"):
        owner = read_json(claim.with_name("owner.json")) or {}
        pids.add(owner.get("pid"))
    at_work = [runner for runner in running if runner.driver and runner.driver.pid in pids]
    chosen = at_work if at_work and rng.random() < 0.8 else running
    if chosen:
        rng.choice(chosen).disturb(rng, now)


def statuses(runners: Sequence[Runner]) -> Iterator[Wrong]:
    """Yield the drivers that did not end as they should."""
    for runner in runners:
        driver = runner.driver
        assert driver
        text = driver.text()
        right = {0}
        if runner.disturbed == "killed":
            right = {0, -9}
        elif runner.disturbed == "suspended" and "took the job over" in text:
            right = {0, 1}
        if driver.status not in right:
            yield "wrong exit status", f"{driver.status} of {driver.log_path.name}: {text[-600:]}"
        if "Traceback" in text:
            yield "tracebacks", driver.log_path.name


def done_twice(game: Round, runners: Sequence[Runner]) -> Iterator[Wrong]:
    """Yield the commits of a job for which its driver had no reason."""
    forced = _forced(game)
    by_pid = {runner.driver.pid: runner for runner in runners if runner.driver}
    for key, attempts in _attempts(game.folder).items():
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


def _attempts(folder: Path) -> dict[str, dict[int, tuple[int, Any]]]:
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
    for key, attempts in _attempts(game.folder).items():
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


def undisturbed(root: Path, names: Iterable[str]) -> dict[str, Outcome]:
    """Return what each experiment leaves when it runs alone, all on one store."""
    game = Round(root / "undisturbed")
    found = {}
    for name in names:
        driver = game.start([f"+experiment={name}"])
        game.wait(driver)
        if driver.status != 0:
            raise RuntimeError(f"{name} ended with {driver.status}:\n{driver.text()}")
        whole = Outcome.of(game.folder)
        keys = _keys(whole.infos)
        found[name] = Outcome(
            records={key: whole.records[key] for key in keys},
            steps={key: whole.steps[key] for key in keys},
            files={},
            metrics=whole.metrics,
            infos=whole.infos,
        )
    shutil.rmtree(game.folder)
    return found


def _keys(infos: str) -> set[str]:
    """Return the keys of the jobs that context infos have outputs of."""
    return set(re.findall(r"/store/(\w+/[0-9a-f]{16})/", infos))


def play(game: Round, rng: random.Random, num_drivers: int, expected: Mapping[str, Outcome]) -> Any:
    """Play one race; return its drivers."""
    runners = drawn(rng, num_drivers)
    race(game, runners, rng)
    for found in (
        statuses(runners),
        done_twice(game, runners),
        at_once(game, runners),
        right_results(game, runners, expected),
        run_again(game, runners, expected),
    ):
        for what, details in found:
            game.fail(what, details)
    return runners


def _figures(this: Campaign, game: Round, runners: Sequence[Runner]) -> None:
    figures = this.figures
    figures["rounds"] += 1
    figures["drivers"] += len(runners)
    figures["drivers killed"] += sum(runner.disturbed == "killed" for runner in runners)
    figures["drivers suspended"] += sum(runner.disturbed == "suspended" for runner in runners)
    figures["drivers that force"] += sum(bool(runner.force) for runner in runners)
    attempts = [one for found in _attempts(game.folder).values() for one in found.values()]
    figures["attempts"] += len(attempts)
    figures["jobs done"] += sum(record is not None for _, record in attempts)
    lost = [*(game.folder / "store").glob("*/*/attempts/*/lost")]
    figures["attempts lost to another host"] += len(lost)


def main() -> int:
    """Play races; print figures and failures."""
    this = campaign("races", rounds=10, drivers=64)
    root = Path(tempfile.mkdtemp(prefix="campaign_races_"))
    found = experiments(this.options["drivers"])
    drivers.prepare(root, found)
    drivers.warm_up([f"+experiment={next(iter(found))}", "watcher.mode=disabled"], root)
    expected = undisturbed(root, found)
    for number, rng in this.tries():
        game = Round(root / f"round_{number}")
        runners = play(game, rng, this.options["drivers"], expected)
        _figures(this, game, runners)
        for what, details in game.wrong:
            this.figures[what] += 1
            this.fail(number, f"{what}: {details}", f"folder kept: {game.folder}")
        if not game.wrong:
            shutil.rmtree(game.folder)
    for what in outcome.FAULTS:
        this.figures.setdefault(what, 0)
    if not this.failures:
        shutil.rmtree(root)
    return this.end()


if __name__ == "__main__":
    sys.exit(main())
