"""Cost of many elements, jobs and metrics: does it grow in proportion, and no faster?

    python scripts/bench/growth.py [--quick] [other checkout]

Prints each figure of this checkout, and of another one beside it: measured in turns, with the same
interpreter. Jobs are toys that do nothing, so everything that is measured is ours. CPU is user +
system time with children; that of an element is what a map of one element does not take.
``--quick`` takes a tenth of every size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
HOOK = "sandbox.hooks.general_data_executor.GeneralDataExecutorHook"
COMPONENTS = """
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from sandbox.executors import BaseDataExecutor

@dataclass(frozen=True, kw_only=True)
class Sum:
    value: float

@dataclass(frozen=True, kw_only=True)
class Point(BaseDataExecutor):
    number: int = 0
    points: int = 0
    stop_at: int = -1

    def run(self, *, scope) -> Sum:
        for step in range(self.points):
            scope.watch({"loss": 1 / (step + 1)}, step=step)
        if self.stop_at >= 0 and self.number in (0, self.stop_at):
            with Path("cpu.txt").open("a") as file:
                file.write(f"{time.process_time()}\\n")
        if self.number == self.stop_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return Sum(value=self.number)
"""
PLAN = """
import sys
import time
from hydra import compose, initialize_config_dir
from sandbox.hydra_search_path import CONFIG_PATH
from sandbox.components.allowed import allowed_targets
from sandbox.planning.plan import plan
from sandbox.planning.resolvers import register_resolvers
register_resolvers()
with initialize_config_dir(CONFIG_PATH):
    cfg = compose("config", ["+experiment=" + sys.argv[1]])
began = time.process_time()
plan(cfg, allowed_targets())
print(time.process_time() - began)
"""


@dataclass(frozen=True)
class Spent:
    """Time and memory of one program."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


@dataclass(frozen=True)
class Checkout:
    """A checkout and a project that uses it, with empty outputs."""

    root: Path
    project: Path

    def python(self, *arguments: str, is_killed: bool = False) -> Spent:
        """Run Python in the project with the checkout's package."""
        import time

        variables = {
            "OMEGACONF_MAX_YAML_EXPANDED_NODES": "10000000",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(self.project), str(self.root)]),
            "SANDBOX_ALLOW_TARGETS": "growth_parts.*",
        }
        began = time.monotonic()
        log_path = self.project / "output.txt"
        with log_path.open("w") as log:
            started = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.project,
                env={**os.environ, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(started.pid, 0)
        wall_s = time.monotonic() - began
        if (status != 0) != is_killed:
            raise RuntimeError(log_path.read_text()[-3000:])
        peak_mb = used.ru_maxrss / 1024
        return Spent(used.ru_utime + used.ru_stime, wall_s, peak_mb, log_path.read_text())

    def run(self, experiment: str, *overrides: str, is_killed: bool = False) -> Spent:
        """Run an experiment."""
        quiet = ["watcher.mode=disabled", "compute=inline"]
        command = ["-m", "sandbox", f"+experiment={experiment}", *quiet, *overrides]
        return self.python(*command, is_killed=is_killed)

    def write(self, name: str, job_names: Sequence[str], jobs: str) -> None:
        """Write an experiment."""
        path = self.project / "conf" / "experiment" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ", ".join(job_names)
        path.write_text(
            f"# @package _global_\nexperiment_name: {name}\n"
            f"pipelines: {{main: {{execution_jobs: [{names}]}}}}\njobs:\n{jobs}"
        )

    def write_map(self, name: str, num_elements: int, **arguments: int) -> None:
        """Write an experiment of one job with a ``map``."""
        given = "".join(f", {key}: {value}" for key, value in arguments.items())
        self.write(
            name,
            ["point"],
            f"  point:\n    _target_: {HOOK}\n"
            f"    executor: {{_target_: growth_parts.Point{given}}}\n"
            f"    map: {{executor: {{number: {list(range(num_elements))}}}}}\n",
        )

    def write_jobs(self, name: str, num_jobs: int) -> None:
        """Write an experiment of many jobs."""
        jobs = [
            f"  j{number}:\n    _target_: {HOOK}\n"
            f"    executor: {{_target_: growth_parts.Point, number: {number}}}\n"
            for number in range(num_jobs)
        ]
        self.write(name, [f"j{number}" for number in range(num_jobs)], "".join(jobs))


Figures = Iterator[tuple[str, float, str]]
"""Label, value and limit."""


def first_elements(checkout: Checkout, scale: int) -> Figures:
    """CPU of the first elements of a long map, while all others wait for their turn."""
    num_begun, num_elements = 2000 // scale, 10000 // scale
    checkout.write_map("begun", num_elements, stop_at=num_begun)
    checkout.run("begun", is_killed=True)
    begin_s, end_s = map(float, (checkout.project / "cpu.txt").read_text().split())
    label = f"first {num_begun} of a map of {num_elements}, CPU-ms an element"
    yield label, 1000 * (end_s - begin_s) / num_begun, ""


def whole_maps(checkout: Checkout, scale: int) -> Figures:
    """CPU of an element in a short and in a long map."""
    checkout.write_map("one", 1)
    start_s = min(checkout.run("one", f"outputs_dir=one{turn}").cpu_s for turn in range(3))
    each_ms = []
    for num_elements in (500 // scale, 10000 // scale):
        checkout.write_map(f"map{num_elements}", num_elements)
        cpu_s = checkout.run(f"map{num_elements}").cpu_s - start_s
        each_ms.append(1000 * cpu_s / num_elements)
        yield f"map of {num_elements}, CPU-ms an element", each_ms[-1], ""
    yield "the long map over the short one, an element", each_ms[1] / each_ms[0], "1.1"


def metric_points(checkout: Checkout, scale: int) -> Figures:
    """Memory of a launcher that watches many metrics."""
    num_points = 200_000 // scale
    checkout.write_map("points", 1, points=num_points)
    yield f"{num_points} metric points, peak MB", checkout.run("points").peak_mb, "100"
    yield "the same, recorded, peak MB", checkout.run("points").peak_mb, "100"


def many_jobs(checkout: Checkout, scale: int) -> Figures:
    """Time of a run whose many jobs are all recorded."""
    num_jobs = 2000 // scale
    checkout.write_jobs("jobs", num_jobs)
    checkout.run("jobs")
    spent = checkout.run("jobs")
    yield f"rerun of {num_jobs} recorded jobs, CPU-s", spent.cpu_s, "3"
    yield "the same, seconds", spent.wall_s, "3"
    composed = checkout.python("-m", "sandbox", "+experiment=jobs", "--cfg", "job")
    yield "of which start and composing, CPU-s", composed.cpu_s, ""


def long_plan(checkout: Checkout, scale: int) -> Figures:
    """Time to plan a long map, after Hydra has composed the config."""
    num_elements = 100_000 // scale
    checkout.write_map("long", num_elements)
    spent = checkout.python("-c", PLAN, "long")
    yield f"plan of {num_elements} elements, CPU-s", float(spent.output.split()[-1]), "10"
    yield "the same with start and composing, CPU-s", spent.cpu_s, ""


PARTS: Sequence[Callable[[Checkout, int], Figures]] = (
    metric_points,
    many_jobs,
    long_plan,
    whole_maps,
    first_elements,
)


def main() -> None:
    """Print the table."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    roots = [*map(Path, words), HERE]
    scale = 10 if "--quick" in sys.argv else 1
    print(f"{'':<52}{'other':>10}{'this':>10}{'limit':>8}" if words else "", flush=True)
    for part in PARTS:
        columns = [list(measured(root, part, scale)) for root in roots]
        for row in zip(*columns, strict=True):
            values = "".join(f"{value:>10.2f}" for _, value, _ in row)
            print(f"{row[0][0]:<52}{values}{row[0][2]:>8}", flush=True)


def measured(root: Path, part: Callable[[Checkout, int], Figures], scale: int) -> Figures:
    """Measure one part with a fresh project."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "growth_parts.py").write_text(COMPONENTS)
        yield from part(Checkout(root.resolve(), project), scale)


if __name__ == "__main__":
    main()
