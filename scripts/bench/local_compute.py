"""Wall time of ``map`` with ``compute=local`` on two cores, against one element after another.

    python scripts/bench/local_compute.py [elements] [max_steps]

Each element is a real training of the small language model; both runs have an empty store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPERIMENT = """# @package _global_
# How much faster do two processes train than one?
defaults:
  - /hook@jobs.data: general_data_executor
  - /data@jobs.data.executor: docstrings
  - /hook@jobs.train: train_model
  - /executor@jobs.train.executor: causal_lm
  - _self_
experiment_name: local_compute
pipelines:
  main:
    execution_jobs: [data, train]
jobs:
  train:
    map:
      executor:
        seed: [{seeds}]
    executor:
      dataset_path: ${{output:data.train_path}}
      max_steps: {max_steps}
"""


def seconds(folder: Path, *overrides: str) -> float:
    """Wall time of the mapped job alone: the data is made before."""
    run = [
        sys.executable,
        "-m",
        "sandbox",
        "+experiment=local_compute",
        "watcher.mode=disabled",
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    data_only = "pipelines.main.execution_jobs=[data]"
    subprocess.run([*run, data_only], cwd=folder, env=environment, check=True, capture_output=True)
    started = time.monotonic()
    subprocess.run(run, cwd=folder, env=environment, check=True, capture_output=True)
    return time.monotonic() - started


def main() -> None:
    """Print both wall times and their ratio."""
    elements = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    max_steps = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conf" / "experiment").mkdir(parents=True)
        seeds = ", ".join(map(str, range(elements)))
        text = EXPERIMENT.format(seeds=seeds, max_steps=max_steps)
        (folder / "conf" / "experiment" / "local_compute.yaml").write_text(text)
        inline = seconds(folder, "compute=inline", "outputs_dir=inline")
        local = seconds(folder, "compute=local", "compute.num_workers=2", "outputs_dir=local")
    print(
        f"{elements} trainings: inline {inline:.1f} s, local {local:.1f} s: {inline / local:.2f} x"
    )


if __name__ == "__main__":
    main()
