"""A sweep of 20 trials over a training argument, whose trials share one data job, on 4 workers.

    python scripts/bench/sweep_sharing.py [--quick]

The data job takes as long as one training. Prints the summed seconds of all jobs that ran, over
(one data job + 20 trainings): at most 1.15, and how often each job ran: once. For comparison the
same sweep with a store for each trial. Both jobs sleep, so that 4 workers fit on any machine; the
workers are joblib's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS, WORKERS, LIMIT = 20, 4, 1.15
COMPONENTS = """
import time
from dataclasses import dataclass
from sandbox.executors import BaseDataExecutor

@dataclass(frozen=True, kw_only=True)
class Sum:
    value: float

@dataclass(frozen=True, kw_only=True)
class Sleep(BaseDataExecutor):
    seconds: float
    value: float = 0.0
    start: float = 0.0

    def run(self, *, scope) -> Sum:
        time.sleep(self.seconds)
        return Sum(value=self.start + self.value)
"""
EXPERIMENT = """# @package _global_
# How often does a sweep process its data?
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: general_data_executor
  - _self_
experiment_name: sharing
objective: train.value
seconds: ???
pipelines:
  main:
    execution_jobs: [data, train]
jobs:
  data:
    executor: {_target_: bench_components.Sleep, seconds: "${seconds}"}
  train:
    executor:
      _target_: bench_components.Sleep
      seconds: ${seconds}
      start: ${output:data.value}
      value: 1.0
"""


def sweep(folder: Path, seconds: float, *overrides: str) -> float:
    """Run the sweep; returns its wall time."""
    values = ",".join(map(str, range(TRIALS)))
    argv = [
        sys.executable,
        "-m",
        "sandbox",
        "--multirun",
        "+experiment=sharing",
        f"seconds={seconds}",
    ]
    argv += ["watcher.mode=disabled", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}"]
    variables = {
        "SANDBOX_ALLOW_TARGETS": "bench_components.*",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[2])]),
    }
    started = time.monotonic()
    done = subprocess.run(
        [*argv, f"jobs.train.executor.value={values}", *overrides],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.monotonic() - started


def report(name: str, outputs: Path, seconds: float, wall_s: float) -> None:
    """Print the jobs that ran under ``outputs``, and their seconds."""
    ideal = seconds * (1 + TRIALS)
    records = [json.loads(path.read_text()) for path in outputs.glob("store*/*/*/record.json")]
    summed = sum(record["run"]["ended"] - record["run"]["started"] for record in records)
    counts = {job: len([*outputs.glob(f"store*/{job}/*/attempts/*")]) for job in ("data", "train")}
    fewest = seconds * (1 + TRIALS / WORKERS)
    print(
        f"{name:<22} data ran {counts['data']} x, trainings {counts['train']} x;"
        f" {summed:.1f} job seconds: {summed / ideal:.3f} x {ideal:.1f};"
        f" wall {wall_s:.1f} s: {wall_s / fewest:.2f} x {fewest:.1f}"
    )
    if name == "shared":
        kept = summed <= LIMIT * ideal and counts == {"data": 1, "train": TRIALS}
        print(f"{'':<22} limit {LIMIT} and each job once: {'kept' if kept else 'EXCEEDED'}")


def main() -> None:
    """Print a line for the sweep with its store, and one for trials that share nothing."""
    seconds = 0.5 if "--quick" in sys.argv else 4.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "conf" / "experiment" / "sharing.yaml").write_text(EXPERIMENT)
        (folder / "bench_components.py").write_text(COMPONENTS)
        report("shared", folder / "outputs", seconds, sweep(folder, seconds))
        alone = ("outputs_dir=alone", "store_dir=alone/store_${hydra:job.num}")
        report("each trial for itself", folder / "alone", seconds, sweep(folder, seconds, *alone))


if __name__ == "__main__":
    main()
