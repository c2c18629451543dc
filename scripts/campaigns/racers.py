"""The drivers of a race: their experiments, and what happens to them."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers import Driver
from rounds import Round

LOST_AFTER_S = 4.0
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
        disturbed: ``killed``, ``suspended`` or why it failed; empty for a driver left alone.
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
            runner.starts_at = rng.uniform(0, start_s(num_drivers))
        runners.append(runner)
    return runners


def start_s(num_drivers: int) -> float:
    """Return the seconds in which drivers start and are disturbed."""
    return min(20.0, 5 + num_drivers / 4)


def _note_forced() -> None:
    """Leave in the ledger the records that this driver finds and forces."""
    from sandbox.running import forced

    plain = forced.recorded_now

    def noted(*arguments: Any) -> Any:
        found = plain(*arguments)
        ledger = Path(os.environ["COUNTING_LEDGER"]).with_name("forced")
        line = json.dumps({"pid": os.getpid(), "forced": found})
        with ledger.open("a") as file:
            file.write(f"{line}\n")
        return found

    forced.recorded_now = noted
