"""CPU time of a trial of a sweep beyond plain Hydra's, with the basic launcher: at most 50 ms.

    python scripts/bench/trial_cost.py [--quick]

Plain Hydra is the same config with a task that does nothing. Both sweep over N values; the cost of
one trial is the difference between two N, user + system time with children, each the least of
several rounds in turn: a busy machine only adds time.
``new`` trials run a job of their own beside a shared one, ``recorded`` ones find everything
recorded; wandb is left out, and in the last line is offline, as it is by default.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY, ROUNDS = 2, 22, 4
LIMIT_MS = 50.0
PLAIN = """
import hydra
from sandbox.hydra_search_path import CONFIG_PATH
from sandbox.planning.resolvers import register_resolvers
register_resolvers()
@hydra.main(config_path=CONFIG_PATH, config_name="config")
def main(cfg): pass
main()
"""
COMPONENTS = """
from dataclasses import dataclass
from sandbox.executors import BaseDataExecutor

@dataclass(frozen=True, kw_only=True)
class Sum:
    value: float

@dataclass(frozen=True, kw_only=True)
class Number(BaseDataExecutor):
    value: float = 0.0
    start: float = 0.0

    def run(self, *, scope) -> Sum:
        return Sum(value=self.start + self.value)
"""
EXPERIMENT = """# @package _global_
# How much does a trial cost that has nothing to do?
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: general_data_executor
  - /hook@jobs.score: general_data_executor
  - _self_
experiment_name: cost
objective: score.value
pipelines:
  main:
    execution_jobs: [data, train, score]
jobs:
  data:
    executor: {_target_: bench_components.Number}
  train:
    executor: {_target_: bench_components.Number, start: "${output:data.value}", value: 1.0}
  score:
    executor: {_target_: bench_components.Number, start: "${output:train.value}"}
"""


def cpu_s(folder: Path, command: list[str], num_trials: int, first: int, *overrides: str) -> float:
    """User + system seconds of one sweep, over numbers that begin with ``first``."""
    values = ",".join(map(str, range(first, first + num_trials)))
    argv = [
        sys.executable,
        *command,
        "--multirun",
        *overrides,
        f"jobs.train.executor.value={values}",
    ]
    variables = {"SANDBOX_ALLOW_TARGETS": "bench_components.*", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **variables, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the cost of a trial: plain, new, recorded, and recorded with wandb offline."""
    rounds = 1 if "--quick" in sys.argv else ROUNDS
    experiment, quiet = "+experiment=cost", "watcher.mode=disabled"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "experiment" / "cost.yaml").write_text(EXPERIMENT)
        (folder / "bench_components.py").write_text(COMPONENTS)
        (folder / "plain.py").write_text(PLAIN)
        ours = ["-m", "sandbox"]
        spent: dict[tuple[str, int], list[float]] = {}
        for number in range(rounds):
            new = 1000 * (number + 1)
            for kind, command, first, overrides in (
                ("plain", ["plain.py"], 0, [experiment, quiet]),
                ("new", ours, new, [experiment, quiet]),
                ("recorded", ours, new, [experiment, quiet]),
                ("wandb offline", ours, new, [experiment]),
            ):
                for num_trials, shift in ((MANY, 0), (FEW, 100 if kind == "new" else 0)):
                    seconds = cpu_s(folder, command, num_trials, first + shift, *overrides)
                    spent.setdefault((kind, num_trials), []).append(seconds)

        def cost_ms(kind: str) -> float:
            return 1000 * (min(spent[kind, MANY]) - min(spent[kind, FEW])) / (MANY - FEW)

        plain = cost_ms("plain")
        print(f"{'plain Hydra':<16} {plain:6.1f} ms CPU a trial")
        for kind in ("new", "recorded", "wandb offline"):
            added = cost_ms(kind) - plain
            verdict = f"limit {LIMIT_MS:g}: {'kept' if added <= LIMIT_MS else 'EXCEEDED'}"
            print(f"{kind:<16} {plain + added:6.1f} ms: {added:+6.1f} added, {verdict}")


if __name__ == "__main__":
    main()
