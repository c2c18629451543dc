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

import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import drivers
import outcome
from campaign import Campaign, campaign
from outcome import Outcome
from race_checks import at_once, attempts_of, done_twice, right_results, run_again, statuses
from racers import Runner, drawn, experiments, start_s
from rounds import Round

from sandbox.system.files import read_json

HANG_S = 240


def race(game: Round, runners: Sequence[Runner], rng: random.Random) -> None:
    """Start the drivers, disturb up to a quarter of them, and let them run to their ends."""
    began = time.monotonic()
    disturb_at = [rng.uniform(0.5, start_s(len(runners))) for _ in range(len(runners) // 4)]
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
    met = [runner for runner in runners if runner.disturbed.startswith("met")]
    figures["drivers that met a job being forced"] += len(met)
    figures["drivers that force"] += sum(bool(runner.force) for runner in runners)
    attempts = [one for found in attempts_of(game.folder).values() for one in found.values()]
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
