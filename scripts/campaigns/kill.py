"""Kill drivers and their programs at random moments; then look for anything lost, repeated or left.

    python scripts/campaigns/kill.py --minutes 25 --seed 1
    python scripts/campaigns/kill.py --seed 1 --only 17      # one round again

A round takes one of ``VARIANTS`` on an empty store. It starts the real command line again and again
and kills the driver, its process group, its program, the program's supervisor, a process of
``compute=local``, or all of them, by time, after a step of the program, or at the n-th change that
the driver makes to the file system. Then the same command runs to its end, and everything must be
as after a run that nobody disturbed. The folder of a failed round is kept.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drivers
import outcome
import psutil
from campaign import Campaign, campaign
from drivers import Driver
from outcome import Outcome
from rounds import HANG_S, Round

HEAD = """
pipelines: {main: {execution_jobs: [data, train], evaluation_jobs: [score]}}
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: train_model
  - /hook@jobs.score: evaluate_model
  - _self_
"""
EXPERIMENTS = {
    "chain": f"""{HEAD}
experiment_name: chain
objective: score.total
jobs:
  data: {{executor: {{_target_: counting.Numbers}}}}
  train:
    executor: {{_target_: counting.Counting, dataset_path: "${{output:data.paths.0}}"}}
  score:
    eval_obj: ${{output:train.checkpoint_path}}
    evaluator: {{_target_: counting.Totals}}
""",
    "mapped": f"""{HEAD}
experiment_name: mapped
objective: max(score.total)
jobs:
  data: {{executor: {{_target_: counting.Numbers, num_files: 3}}}}
  train:
    executor: {{_target_: counting.Counting, dataset_path: "???", num_steps: 12}}
    map: {{executor: {{dataset_path: "${{output:data.paths}}"}}}}
  score:
    eval_obj: ???
    evaluator: {{_target_: counting.Totals}}
    map: {{eval_obj: "${{output:train.checkpoint_path}}"}}
""",
    "iterated": f"""{HEAD}
experiment_name: iterated
objective: score.total
max_iterations: 3
jobs:
  data: {{executor: {{_target_: counting.Numbers}}}}
  train:
    executor:
      _target_: counting.Counting
      dataset_path: ${{output:data.paths.0}}
      start_path: ${{previous:train.checkpoint_path,null}}
      num_steps: 12
  score:
    eval_obj: ${{output:train.checkpoint_path}}
    evaluator: {{_target_: counting.Totals}}
""",
    "seeds": f"""{HEAD}
experiment_name: seeds
objective: max(score.total)
jobs:
  data: {{executor: {{_target_: counting.Numbers}}}}
  train:
    executor:
      _target_: counting.Counting
      dataset_path: ${{output:data.paths.0}}
      num_steps: 12
    seeds: 3
  score:
    eval_obj: ???
    evaluator: {{_target_: counting.Totals}}
    map: {{eval_obj: "${{output:train.checkpoint_path}}"}}
""",
}

FORGETFUL = "jobs.train.executor._target_=counting.ForgetfulCounting"
LOCAL = ("compute=local", "compute.num_workers=2")
VARIANTS: Sequence[tuple[int, str, Sequence[str]]] = (
    (12, "chain", ()),
    (4, "chain", (FORGETFUL,)),
    (1, "chain", ("+jobs.train.executor.is_stubborn=true",)),
    (6, "mapped", ()),
    (6, "iterated", ()),
    (4, "seeds", ()),
    (2, "mapped", (FORGETFUL,)),
    (2, "mapped", LOCAL),
    (2, "seeds", LOCAL),
)
"""Weight, experiment and overrides of what a round runs."""

KINDS = {
    "driver": 8,
    "driver, at a change of a file": 8,
    "driver's process group": 2,
    "driver and all it started": 3,
    "program": 3,
    "supervisor": 2,
    "process of compute=local": 2,
    "SIGTERM": 2,
    "Ctrl-C": 2,
    "SIGTERM, then driver": 1,
}
"""Weight of each kind of kill."""

CHANGES = {
    *("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "os.utime"),
    *("fcntl.flock", "subprocess.Popen", "os.posix_spawn", "shutil.rmtree"),
}
"""Audit events at which a driver may be killed; of ``open`` only those that write."""


@dataclass(frozen=True)
class Undisturbed:
    """A run of a variant that nobody disturbed.

    Args:
        experiment: Its experiment.
        command: The words after ``sandbox``, without those that name folders.
        outcome: What it left.
        seconds: How long it took.
        num_changes: How many of ``CHANGES`` its driver made.
    """

    experiment: str
    command: Sequence[str]
    outcome: Outcome
    seconds: float
    num_changes: int


def play(game: Round, rng: random.Random, expected: Undisturbed, figures: Any) -> None:
    """Kill a few times, then run to the end and compare."""
    for _ in range(rng.randint(1, 10)):
        kind = kill_once(game, rng, expected)
        if game.drivers[-1].status == 0:
            break  # the kill came too late
        figures["kills"] += 1
        figures[f"kills: {kind}"] += 1
        if rng.random() < 0.6:
            game.wait_for_left()
    finish(game, expected)
    if rng.random() < 0.1:
        before = len(drivers.lines_of(game.ledger))
        finish(game, expected)
        if len(drivers.lines_of(game.ledger)) != before:
            game.fail("done twice", "the command was repeated after it had succeeded")
    game.wait_for_left()
    for what, details in outcome.differences(expected.outcome, Outcome.of(game.folder)):
        game.fail(what, details)
    for what, details in outcome.repeated(game.ledger, game.recorded):
        game.fail(what, details)
    for path in outcome.litter(game.folder):
        game.fail("litter", path)
    figures["steps repeated since the last checkpoint"] += outcome.num_repeated_steps(game.ledger)
    figures["jobs recorded"] += len(expected.outcome.records)


def kill_once(game: Round, rng: random.Random, expected: Undisturbed) -> str:
    """Start a driver and kill something; return the kind of the kill."""
    kinds = {name: weight for name, weight in KINDS.items() if "local" not in name}
    kind = rng.choices([*kinds], [*kinds.values()])[0]
    if LOCAL[0] in expected.command and rng.random() < 0.25:
        kind = "process of compute=local"
    if kind == "driver, at a change of a file":
        change = rng.randint(1, expected.num_changes)
        delay_s = rng.choice([0, 0, rng.uniform(0, 0.003)])
        driver = game.start(expected.command, lambda: _die_at(change, delay_s))
        game.story.append(f"{kind}: number {change}, {delay_s * 1000:.2f} ms later")
    else:
        driver = game.start(expected.command)
        if kind in VICTIMS:
            game.pause(driver, HANG_S, until=lambda: bool(VICTIMS[kind](game, driver)))
            moment = _pause(game, driver, rng.uniform(0, 0.1))
        else:
            moment = _wait_for_moment(game, driver, rng, expected)
        game.story.append(f"{kind}: {moment}")
        _kill(game, driver, kind, rng)
    game.wait(driver)
    _check_status(game, driver, kind)
    return kind


def _die_at(number: int, delay_s: float) -> None:
    """Let this process die at one of its changes of files, or a moment later."""
    seen = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not _is_change(event, arguments) or next(seen) != number:
            return
        os.write(2, f"dies at change {number}: {event} {arguments}\n".encode(errors="replace"))
        if delay_s:
            signal.setitimer(signal.ITIMER_REAL, delay_s)  # nobody handles SIGALRM: it kills
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def _wait_for_moment(game: Round, driver: Driver, rng: random.Random, expected: Undisturbed) -> str:
    """Wait for the moment of the kill: some time, or some progress of the work."""
    if rng.random() < 0.5:
        return _pause(game, driver, rng.uniform(0, 1.1 * expected.seconds))
    size = game.ledger.stat().st_size if game.ledger.exists() else 0
    size += rng.randint(0, 1500)
    game.pause(
        driver, HANG_S, until=lambda: game.ledger.exists() and game.ledger.stat().st_size > size
    )
    return f"{_pause(game, driver, rng.uniform(0, 0.03))}, at {size} bytes of the ledger"


def _pause(game: Round, driver: Driver, seconds: float) -> str:
    game.pause(driver, seconds)
    return f"after {seconds:.3f} s"


def _kill(game: Round, driver: Driver, kind: str, rng: random.Random) -> None:
    match kind:
        case "driver":
            driver.signal(signal.SIGKILL)
        case "driver's process group":
            driver.signal(signal.SIGKILL, group=True)
        case "SIGTERM":
            driver.signal(signal.SIGTERM)
        case "Ctrl-C":
            driver.signal(signal.SIGINT, group=True)
        case "SIGTERM, then driver":
            driver.signal(signal.SIGTERM)
            driver.wait(rng.uniform(0, 0.1))
            driver.signal(signal.SIGKILL)
        case "driver and all it started":
            driver.signal(signal.SIGKILL)
            while started := drivers.processes([driver.marker])[driver.marker]:
                rng.shuffle(started)
                _kill_all(started)
        case _:
            _kill_all(VICTIMS[kind](game, driver)[:1])


def _kill_all(victims: Sequence[psutil.Process]) -> None:
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()


def _programs(game: Round, driver: Driver) -> list[psutil.Process]:
    """Return the programs that train for a driver, by its lines in the ledger."""
    at_work = {}
    for line in drivers.lines_of(game.ledger):
        if line["driver"] == driver.marker and "step" in line:
            at_work[line["pid"]] = line["what"] != "end"
    found = []
    for pid in (pid for pid, goes_on in at_work.items() if goes_on):
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _supervisors(game: Round, driver: Driver) -> list[psutil.Process]:
    """Return the parents of the programs, except drivers themselves and whoever adopts orphans."""
    parents = []
    for program in _programs(game, driver):
        with contextlib.suppress(psutil.Error):
            parents.append(program.parent())
    return [parent for parent in parents if parent and parent.pid not in (1, driver.pid)]


def _local_processes(game: Round, driver: Driver) -> list[psutil.Process]:
    found = []
    for process in drivers.processes([driver.marker])[driver.marker]:
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()[:4]):
                found.append(process)
    return found


VICTIMS = {
    "program": _programs,
    "supervisor": _supervisors,
    "process of compute=local": _local_processes,
}
"""Functions that find the processes to kill, by kind of kill."""

STATUSES = {
    "driver": {-9, 0},
    "driver, at a change of a file": {-9, -signal.SIGALRM, 0},
    "driver's process group": {-9, 0},
    "driver and all it started": {-9, 0},
    "SIGTERM": {1, 2, -signal.SIGTERM, 0},
    "Ctrl-C": {1, 2, -signal.SIGINT, 0},  # by the signal itself before the run has begun
    "SIGTERM, then driver": {-9, 1, 2, -signal.SIGTERM, 0},
}
"""Exit statuses by kind of the kill; after one of a program it is 1, or 0 if that was too late."""


def _check_status(game: Round, driver: Driver, kind: str) -> None:
    if driver.status not in STATUSES.get(kind, {1, 0}):
        game.fail("wrong exit status", f"{driver.status} of {driver.log_path.name} after {kind}")
    if "Traceback" in driver.text():
        game.fail("tracebacks", f"{driver.log_path.name} after {kind}")


def finish(game: Round, expected: Undisturbed) -> None:
    """Run the command to its end without disturbing it."""
    driver = game.start(expected.command)
    game.wait(driver)
    if driver.status != 0:
        game.fail("wrong exit status", f"{driver.status} of {driver.log_path.name}, undisturbed")


def undisturbed(root: Path, number: int, experiment: str, overrides: Sequence[str]) -> Undisturbed:
    """Run a variant once."""
    command = [f"+experiment={experiment}", *overrides]
    game = Round(root / f"undisturbed_{number}")
    changes = game.folder / "changes"
    seen = itertools.count()

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_change(event, arguments):
            next(seen)

    began = time.monotonic()
    driver = game.start(
        command,
        lambda: sys.addaudithook(count),
        then=lambda: changes.write_text(str(next(seen))),
    )
    game.wait(driver)
    if driver.status != 0:
        raise RuntimeError(f"{command} ended with {driver.status}:\n{driver.text()}")
    seconds = time.monotonic() - began
    found = Outcome.of(game.folder)
    num_changes = int(changes.read_text())
    changes.unlink()
    litter = outcome.litter(game.folder)
    if litter:
        raise RuntimeError(f"{command} leaves litter: {litter}")
    shutil.rmtree(game.folder)
    return Undisturbed(experiment, command, found, seconds, num_changes)


def main() -> int:
    """Play rounds; print figures and failures."""
    this = campaign("kill", rounds=800)
    root = Path(tempfile.mkdtemp(prefix="campaign_kill_"))
    drivers.prepare(root, EXPERIMENTS)
    drivers.warm_up(["+experiment=mapped", "watcher.mode=disabled"], root)
    known: dict[int, Undisturbed] = {}
    began = time.monotonic()
    for number, rng in this.tries():
        weights = [weight for weight, _, _ in VARIANTS]
        variant = rng.choices(range(len(VARIANTS)), weights)[0]
        if variant not in known:
            known[variant] = undisturbed(root, variant, *VARIANTS[variant][1:])
        _round(this, root, number, rng, known[variant])
    this.figures["seconds"] = round(time.monotonic() - began)
    for what in outcome.FAULTS:
        this.figures.setdefault(what, 0)
    if not this.failures:
        shutil.rmtree(root)
    return this.end()


def _round(
    this: Campaign, root: Path, number: int, rng: random.Random, expected: Undisturbed
) -> None:
    game = Round(root / f"round_{number}")
    play(game, rng, expected, this.figures)
    this.figures["rounds"] += 1
    name = "longest life of a dead driver's process, ms"
    this.figures[name] = max(this.figures[name], round(1000 * game.longest_left_s))
    for what, details in game.wrong:
        this.figures[what] += 1
        story = "\n    ".join(game.story)
        command = " ".join(expected.command)
        this.fail(
            number, f"{what}: {details}", f"{command}\n    {story}\n  folder kept: {game.folder}"
        )
    if not game.wrong:
        shutil.rmtree(game.folder)


if __name__ == "__main__":
    sys.exit(main())
