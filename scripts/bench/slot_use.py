"""Use of 4 slots by 8 trials of uneven length: our sweeper against hydra-optuna-sweeper.

    python scripts/bench/slot_use.py            # trials of 10 to 40 s, two and a half minutes
    python scripts/bench/slot_use.py --quick    # a quarter of that; starts weigh four times as much

Trials sleep, through submitit's local launcher. The n-th trial to begin sleeps for the n-th length,
with both sweepers; without any pause between trials the lengths fill four slots completely. Slot
use is the time that trials slept over the time of all slots, from the begin of the first trial to
the end of the last one. The start of a trial (a process, its imports) counts as idle, for both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NUM_SLOTS = 4
LENGTHS = (40, 10, 20, 30, 40, 30, 20, 10)
TOY = """
import json, os, time
from dataclasses import dataclass
from pathlib import Path
from sandbox.executors import BaseDataExecutor


@dataclass(frozen=True, kw_only=True)
class Slept:
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Sleep(BaseDataExecutor):
    number: float = 1.0

    def run(self, *, scope) -> Slept:
        began = time.time()
        lengths = Path(os.environ["LENGTHS"])
        while True:  # the first file that is still there is ours
            first = min(lengths.iterdir())
            try:
                first.rename(lengths.parent / f"{lengths.name}-{first.name}-taken")
                break
            except FileNotFoundError:
                pass
        time.sleep(float(first.name.partition("-")[2]))
        with Path(os.environ["SLEEPS"]).open("a") as file:
            file.write(json.dumps([began, time.time()]) + "\\n")
        return Slept(seconds=time.time() - began)
"""
EXPERIMENT = """# @package _global_
defaults:
  - /hook@jobs.sleep: general_data_executor
  - _self_
experiment_name: sleep
objective: sleep.seconds
pipelines: {main: {execution_jobs: [sleep]}}
jobs: {sleep: {executor: {_target_: sleeping_toy.Sleep, number: 1.0}}}
"""


def main() -> None:
    """Print a line a sweeper, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    lengths = [length / 4 if parser.parse_args().quick else float(length) for length in LENGTHS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "experiment" / "sleep.yaml").write_text(EXPERIMENT)
        (folder / "sleeping_toy.py").write_text(TOY)
        use = {
            "optuna": slot_use(folder, "optuna", lengths, f"hydra.sweeper.n_jobs={NUM_SLOTS}"),
            "optuna_async": slot_use(
                folder, "optuna_async", lengths, f"hydra.sweeper.n_workers={NUM_SLOTS}"
            ),
        }
    print(f"slot use, ours / stock: {use['optuna_async'] / use['optuna']:.2f} x")


def slot_use(folder: Path, sweeper: str, lengths: list[float], slots: str) -> float:
    """Run one sweep; returns the share of the slots' time that trials slept."""
    sleeps = folder / f"{sweeper}.jsonl"
    left = folder / f"lengths-{sweeper}"
    left.mkdir()
    for number, length in enumerate(lengths):
        (left / f"{number}-{length}").touch()
    environment = {
        **os.environ,
        "SLEEPS": str(sleeps),
        "LENGTHS": str(left),
        "SANDBOX_ALLOW_TARGETS": "sleeping_toy.*",
        "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[2])]),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--multirun",
        "+experiment=sleep",
        "watcher.mode=disabled",
    ]
    command += [f"hydra/sweeper={sweeper}", "hydra/sweeper/sampler=random"]
    command += ["hydra/launcher=submitit_local", f"hydra.sweeper.n_trials={len(lengths)}", slots]
    command += [f"outputs_dir={sweeper}", "jobs.sleep.executor.number=interval(0,1)"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    spans = [json.loads(line) for line in sleeps.read_text().splitlines()]
    slept = sum(end - began for began, end in spans)
    lasted = max(end for _, end in spans) - min(began for began, _ in spans)
    ideal = max(max(lengths), sum(lengths) / NUM_SLOTS)
    share = slept / (NUM_SLOTS * lasted)
    times = f"{lasted:5.1f} s (at best {ideal:.1f})"
    print(f"{sweeper:<13} {times}, {len(spans)} trials, slot use {share:.0%}", flush=True)
    return share


if __name__ == "__main__":
    main()
