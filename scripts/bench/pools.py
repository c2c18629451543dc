"""Work on data pools: ours against the original's way and against `cp`, all in one run.

    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 100000                       against the original
    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 1000000                      against cp
    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 1000000 10000000 --statistics 2      how it grows

Rows have about 530 bytes and ten statistics (`pools_data.py`). Of N rows, construction splits all;
combination and merging take three pools of N/3, downsampling halves those, duplication writes one of them
twice and four times, and so does shuffling (duplication with `shuffle`); the join is 100 x 10,000 short rows,
or 100 x N/100 where that is more.

Every piece of work is a process of its own: seconds are those of the work, `start` is what the process
took beside it (Python, imports, the same work on a few rows). Ours and `cp` (of what ours wrote) take turns,
`--repeats` times, and medians count; before each, `sync` writes out what an earlier turn left, and inputs lie
in the page cache for both. `cp` does not wait for the disk, so `+sync` is a copy that does. The original
(`pools_upstream.py`) reads with a cold cache of `datasets`; with a warm one it takes half. It runs up to
100,000 rows, `cp` up to a million. Memory is the larger of the process's own peak and of what it and its
children hold together, looked at every 20 ms; files that it maps count.

Construction of ten million rows with all statistics would write 50 GB: `--statistics 2` writes two. All data
lies in a folder that is removed at the end (`--folder`, 16 GB for ten million rows).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SAME_INPUTS = (
    ("construction",),
    ("combination", "downsampling", "duplication", "shuffling", "merging"),
    ("join",),
)
WORKS = tuple(itertools.chain(*SAME_INPUTS))
UPSTREAM_ROWS, CP_ROWS = 100_000, 1_000_000
TIMES_UPSTREAM = {"construction": 20.0, "combination": 30.0}  # at 100,000 rows; the others:
TIMES_UPSTREAM_OTHERS = 80.0
TIMES_CP = {"construction": 5.0, "combination": 7.0}  # at a million rows; the others:
TIMES_CP_OTHERS = 4.0
GROWTH = 1.2  # of the time a row, from a million to ten million
MEMORY_MB, MEMORY_BYTES_A_ROW = 300, 120


@dataclass
class Turn:
    """One process: seconds of its work, CPU seconds, peak megabytes, seconds beside the work."""

    wall: float
    cpu: float
    peak_mb: float
    start: float
    digest: str | None = None


@dataclass
class Figures:
    """What one piece of work took, over all turns."""

    work: str
    num_rows: int
    ours: list[Turn] = field(default_factory=list)
    upstream: list[Turn] = field(default_factory=list)
    cp: list[float] = field(default_factory=list)
    cp_synced: list[float] = field(default_factory=list)
    written_mb: float = 0

    def wall(self) -> float:
        """Our median seconds."""
        return statistics.median(turn.wall for turn in self.ours)

    def peak_mb(self) -> float:
        """Our largest peak."""
        return max(turn.peak_mb for turn in self.ours)


def main() -> None:
    """Measure, print a table, and say which limits hold."""
    options = _options()
    all_figures = []
    for num_rows, works in itertools.product(options.rows, SAME_INPUTS):
        with tempfile.TemporaryDirectory(prefix="pools_", dir=options.folder) as name:
            for work in works:
                if work in options.only and (figures := measure(work, num_rows, Path(name), options)):
                    all_figures.append(figures)
                    print_line(figures, header=len(all_figures) == 1)
    print()
    for line in [*limits(all_figures), *growth(all_figures)]:
        print(line)


def measure(work: str, num_rows: int, folder: Path, options: argparse.Namespace) -> Figures | None:
    """All turns of one piece of work; ``None`` where ours does not have it."""
    inputs = folder / "in"
    if not inputs.exists():
        run_child("data", work, [], fresh(inputs), num_rows=num_rows)
    paths = sorted(inputs.iterdir())
    figures = Figures(work, num_rows)
    with_upstream = num_rows <= UPSTREAM_ROWS and not options.no_upstream
    for repeat in range(options.repeats):
        for path in paths:  # into the page cache
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass
        out = fresh(folder / "out")
        try:
            figures.ours.append(
                run_child("ours", work, paths, out, options.cores and not repeat, **split(work, options))
            )
        except ChildError as error:
            print(f"{work}: {error}", file=sys.stderr)
            return None
        figures.written_mb = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        if num_rows <= CP_ROWS:
            copy(out, folder / "copy", figures)
        shutil.rmtree(out)
        if with_upstream and repeat < options.upstream_repeats:
            out = fresh(folder / "upstream")
            loader = options.upstream_loader
            figures.upstream.append(run_child("upstream", work, paths, out, loader=loader))
            shutil.rmtree(out)
    if options.cores:
        alone = run_child(
            "ours", work, paths, fresh(folder / "out"), True, one_core=True, **split(work, options)
        )
        same = "same" if alone.digest == figures.ours[0].digest else "DIFFERENT"
        print(f"{work}: {same} results with one core ({alone.wall:.2f} s, {alone.cpu:.2f} CPU-s)")
    return figures


class ChildError(RuntimeError):
    """A piece of work that failed; its message is the last line that it printed."""


def run_child(
    side: str,
    work: str,
    inputs: list[Path],
    out: Path,
    digest: bool = False,
    one_core: bool = False,
    **options: Any,
) -> Turn:
    """One piece of work in a process of its own."""
    request: dict[str, Any] = {
        "side": side,
        "work": work,
        "inputs": [str(path) for path in inputs],
        "out": str(out),
    }
    request |= {"digest": digest, "one_core": one_core, "options": options}
    argv = [sys.executable, str(Path(__file__).with_name("pools_child.py")), json.dumps(request)]
    os.sync()
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        together = Together(child.pid)
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        together.stop()
        errors.seek(0)
        if child.returncode:
            raise ChildError(errors.read().decode(errors="replace").strip().splitlines()[-1])
    answer = json.loads(printed.splitlines()[-1])
    beside = time.perf_counter() - started - answer["wall"]
    peak = max(usage.ru_maxrss / 1024, together.peak_mb)
    return Turn(answer["wall"], answer["cpu"], peak, beside, answer["digest"])


class Together(threading.Thread):
    """The most memory that a process and its children hold at one time, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.ended = pid, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look until told to stop: anonymous memory of all, and files as far as one of them maps them."""
        while not self.ended.wait(0.02):
            each = [held for pid in _descendants(self.pid) if (held := _held_mb(pid))]
            if each:
                self.peak_mb = max(
                    self.peak_mb, sum(own for own, _ in each) + max(files for _, files in each)
                )

    def stop(self) -> None:
        """End looking."""
        self.ended.set()
        self.join()


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for known in found:
        try:
            for thread in Path("/proc", str(known), "task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it has just ended
    return found


def _held_mb(pid: int) -> tuple[float, float] | None:
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return None
    kb = {
        key: int(rest.split()[0]) for key, rest in (line.split(":", 1) for line in lines) if key[:3] == "Rss"
    }
    if not kb:
        return None
    return (kb["RssAnon"] + kb["RssShmem"]) / 1024, kb["RssFile"] / 1024


def copy(source: Path, target: Path, figures: Figures) -> None:
    """`cp` of a folder, timed as it is and with the wait for the disk."""
    os.sync()
    started = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    figures.cp.append(time.perf_counter() - started)
    os.sync()
    figures.cp_synced.append(time.perf_counter() - started)
    shutil.rmtree(target)


def fresh(folder: Path) -> Path:
    """An empty folder of this name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def split(work: str, options: argparse.Namespace) -> dict[str, Any]:
    """The statistics that construction writes."""
    return {"statistics": options.statistics} if work == "construction" and options.statistics else {}


def print_line(figures: Figures, header: bool) -> None:
    """One line of the table."""
    if header:
        print(
            f"{'work':<13}{'rows':>9}{'ours s':>9}{'CPU-s':>8}{'peak MB':>9}{'start s':>9}{'wrote MB':>10}"
            f"{'original s':>12}{'x':>8}{'cp s':>8}{'x cp':>7}{'+sync s':>9}{'x':>6}"
        )
    wall = figures.wall()
    cpu = statistics.median(turn.cpu for turn in figures.ours)
    start = statistics.median(turn.start for turn in figures.ours)
    line = f"{figures.work:<13}{figures.num_rows:>9}{wall:>9.3f}{cpu:>8.2f}{figures.peak_mb():>9.0f}"
    line += f"{start:>9.2f}{figures.written_mb:>10.1f}"
    if figures.upstream:
        theirs = statistics.median(turn.wall for turn in figures.upstream)
        line += f"{theirs:>12.1f}{theirs / wall:>8.1f}"
    else:
        line += f"{'-':>12}{'-':>8}"
    if figures.cp:
        plain, synced = statistics.median(figures.cp), statistics.median(figures.cp_synced)
        line += f"{plain:>8.3f}{wall / plain:>7.1f}{synced:>9.2f}{wall / synced:>6.1f}"
    print(line, flush=True)


def limits(all_figures: list[Figures]) -> list[str]:
    """Which of the limits hold, a line each."""
    lines = []
    for each in all_figures:
        name, wall = f"{each.work} {each.num_rows}", each.wall()
        if each.upstream and each.num_rows == UPSTREAM_ROWS:
            ratio = statistics.median(turn.wall for turn in each.upstream) / wall
            least = TIMES_UPSTREAM.get(each.work, TIMES_UPSTREAM_OTHERS)
            lines.append(_verdict(name, f"{ratio:.1f} x the original, at least {least:g}", ratio >= least))
        if each.cp and each.num_rows == CP_ROWS:
            ratio = wall / statistics.median(each.cp)
            most = TIMES_CP.get(each.work, TIMES_CP_OTHERS)
            lines.append(_verdict(name, f"{ratio:.1f} x cp, at most {most:g}", ratio <= most))
        most_mb = MEMORY_MB + MEMORY_BYTES_A_ROW * each.num_rows / 1e6
        text = f"{each.peak_mb():.0f} MB, at most {most_mb:.0f}"
        lines.append(_verdict(name, text, each.peak_mb() <= most_mb))
    return lines


def growth(all_figures: list[Figures]) -> list[str]:
    """How the time and the memory a row change between sizes."""
    lines = []
    for work in WORKS:
        sizes = sorted((each for each in all_figures if each.work == work), key=lambda each: each.num_rows)
        for small, large in itertools.pairwise(sizes):
            more = large.num_rows / small.num_rows
            times = large.wall() / small.wall() / more
            cpu = min(turn.cpu for turn in large.ours) / min(turn.cpu for turn in small.ours) / more
            bytes_a_row = (large.peak_mb() - small.peak_mb()) * 1e6 / (large.num_rows - small.num_rows)
            text = f"{times:.2f} x the time a row (CPU {cpu:.2f} x), at most {GROWTH}; "
            text += f"{bytes_a_row:.0f} bytes a row more"
            lines.append(_verdict(f"{work} {small.num_rows} to {large.num_rows}", text, times <= GROWTH))
    return lines


def _verdict(name: str, text: str, holds: bool) -> str:
    return f"{'ok     ' if holds else 'NOT OK '}{name}: {text}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(WORKS), help=",".join(WORKS)
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--statistics", type=int, help="how many of three construction writes (all ten)")
    parser.add_argument("--no-upstream", action="store_true")
    parser.add_argument("--upstream-repeats", type=int, default=1)
    parser.add_argument("--upstream-loader", choices=("data_juicer", "datasets"), default="data_juicer")
    parser.add_argument("--cores", action="store_true", help="compare the results with one core and with all")
    parser.add_argument("--folder", type=Path, help="where the data lies while it runs")
    parser.add_argument("--quick", action="store_true", help="5,000 rows, once, to try it")
    options = parser.parse_args()
    unknown = set(options.only) - set(WORKS)
    if unknown:
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; available: {', '.join(WORKS)}")
    if options.quick:
        options.rows, options.repeats, options.cores = [5_000], 1, True
    return options


if __name__ == "__main__":
    main()
