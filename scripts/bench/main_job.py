"""The main experiment from nothing to its verdict, and the commands that people try first.

    python scripts/bench/main_job.py [--make] [--rounds N] [other checkout]

Prints a table of seconds, CPU seconds and limits for this checkout, and for another one beside it:
in turns, each command in a new folder, with the same interpreter. `--make` adds `make run` in a
fresh clone, with its set-up, which takes another whole run; package caches stay as they are. Below
the table stand the verdicts.

CPU is user + system time of all programs that a command starts, also of those that outlive it for
a moment (Linux: this process adopts them). Matrix products are repeated alone after the run
(`model_products.py`); their share is what they would take on all cores, of the run's seconds. Run
it on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overhead import BARE

HERE = Path(__file__).resolve().parents[2]
EXPERIMENT = "+experiment=internvl_coco"
PR_SET_CHILD_SUBREAPER = 36
LIMITS = {
    "first run, s": "360",
    "first run, CPU-s": "650",
    "matrix products alone / first run": "> 0.60",
    "everything recorded, CPU-s over bare Hydra": "1",
    "+debug=smoke, s": "40",
    "demo, s": "30",
    "make run in a fresh clone, s": "480",
}


@dataclass(frozen=True)
class Spent:
    """Seconds and output of one command."""

    wall_s: float
    cpu_s: float
    output: str


@dataclass
class Checkout:
    """A checkout, its figures by row, and its verdicts."""

    root: Path
    figures: dict[str, list[float]] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)

    def add(self, row: str, value: float) -> None:
        """Keep a figure."""
        self.figures.setdefault(row, []).append(value)
        print(f"  {self.root}: {row} {value:.2f}", file=sys.stderr, flush=True)

    def python(self, folder: Path, *arguments: str) -> Spent:
        """Run Python in a folder with the checkout's package."""
        return spent([sys.executable, *arguments], folder, PYTHONPATH=str(self.root))

    def experiment(self, folder: Path, *overrides: str) -> Spent:
        """Run an experiment."""
        return self.python(folder, "-m", "sandbox", *overrides)


def spent(argv: Sequence[str], folder: Path, **variables: str) -> Spent:
    """Run a command to its end, and wait for everything that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall_s = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout[-3000:])
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall_s, cpu_s, done.stdout)


def measure(checkout: Checkout, folder: Path, *, with_make: bool) -> None:
    """Measure every row once."""
    first = checkout.experiment(folder, EXPERIMENT)
    checkout.add("first run, s", first.wall_s)
    checkout.add("first run, CPU-s", first.cpu_s)
    checkout.verdicts += re.findall(r"\] report: (.+)", first.output)
    share = products_s(folder / "outputs" / "store") / os.cpu_count() / first.wall_s
    checkout.add("matrix products alone / first run", share)
    checkout.add("everything recorded, CPU-s over bare Hydra", recorded_s(checkout, folder))
    for row, overrides in (
        ("+debug=smoke, s", [EXPERIMENT, "+debug=smoke", "outputs_dir=smoke"]),
        ("demo, s", ["+experiment=demo", "outputs_dir=demo"]),
    ):
        checkout.add(row, checkout.experiment(folder, *overrides).wall_s)
    if with_make:
        clone = folder / "clone"
        subprocess.run(["git", "clone", "-q", str(checkout.root), str(clone)], check=True)
        checkout.add("make run in a fresh clone, s", spent(["make", "run"], clone).wall_s)


def products_s(store: Path) -> float:
    """CPU seconds of the matrix products of all recorded jobs of a store, alone."""
    script = str(HERE / "scripts" / "bench" / "model_products.py")
    measured = spent([sys.executable, script, str(store), "--json"], store, OMP_NUM_THREADS="1")
    speeds = json.loads(measured.output.splitlines()[-1])
    return sum(speed["steps"] * speed["products_s"] for speed in speeds)


def recorded_s(checkout: Checkout, folder: Path) -> float:
    """CPU seconds of the run once more, less those of an app that only composes its config."""
    bare = folder / "bare.py"
    bare.write_text(BARE)
    pairs = [
        (
            checkout.experiment(folder, EXPERIMENT).cpu_s,
            checkout.python(folder, str(bare), EXPERIMENT).cpu_s,
        )
        for _ in range(3)
    ]
    ours, bare_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return ours - bare_s


def rows(checkouts: Sequence[Checkout]) -> Iterator[str]:
    """Yield the lines of the table: medians over the rounds."""
    for row, limit in LIMITS.items():
        if row in checkouts[0].figures:
            values = [statistics.median(checkout.figures[row]) for checkout in checkouts]
            yield f"{row:<46}{''.join(f'{value:>10.2f}' for value in values)}{limit:>9}"


def main() -> None:
    """Measure in turns, and print table and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--make", action="store_true")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    checkouts = [Checkout(root.resolve()) for root in (given.other, HERE) if root]
    for _ in range(given.rounds):
        for checkout in checkouts:
            with tempfile.TemporaryDirectory() as folder:
                measure(checkout, Path(folder), with_make=given.make)
    names = "".join(f"{name:>10}" for name in ("other", "this")[-len(checkouts) :])
    print(f"{os.cpu_count()} cores".ljust(46) + names + f"{'limit':>9}")
    print(*rows(checkouts), sep="\n")
    for checkout in checkouts:
        for verdict in checkout.verdicts:
            print(f"{checkout.root.name}: {verdict}")


if __name__ == "__main__":
    main()
