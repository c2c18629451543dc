"""Work on data pools: ours against the original's way and against `cp`, all in one run.

Against the original, against `cp`, and how it grows:

    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 100000
    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 1000000
    OMP_NUM_THREADS=1 python scripts/bench/pools.py --rows 1000000 10000000 --statistics 2

Rows have about 530 bytes and ten statistics (`pools_data.py`). Of N rows, construction splits all;
combination and merging take three pools of N/3, downsampling halves those, duplication writes one
of them twice and four times, and so does shuffling (duplication with `shuffle`); the join is 100 x
10,000 short rows, or 100 x N/100 if that is more.

Every piece of work is a process of its own: seconds are those of the work, `start` is the rest of
the process (Python, imports, the same work on a few rows). Ours and `cp` (of our output) take
turns, `--repeats` times, and medians count; before each, `sync` writes out the output of the turn
before, and inputs are in the page cache for both. `cp` does not wait for the disk, so `+sync` is a
copy that does. The original (`pools_upstream.py`) reads with a cold cache of `datasets`; with a
warm one it takes half. It runs up to 100,000 rows, `cp` up to a million. Memory is the larger of
the process's own peak and the sum over it and its children, sampled every 20 ms; files that it maps
count.

Construction of ten million rows with all statistics would write 50 GB: `--statistics 2` writes two.
All data is in a folder that is removed at the end (`--folder`, 16 GB for ten million rows).
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from pools_process import Turn, run_child

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
class Figures:
    """Times and memory of one piece of work, over all turns."""

    work: str
    num_rows: int
    ours: list[Turn] = field(default_factory=list)
    upstream: list[Turn] = field(default_factory=list)
    cp: list[float] = field(default_factory=list)
    cp_synced: list[float] = field(default_factory=list)
    written_mb: float = 0

    def wall(self) -> float:
        """Return our median seconds."""
        return statistics.median(turn.wall for turn in self.ours)

    def peak_mb(self) -> float:
        """Return our largest peak."""
        return max(turn.peak_mb for turn in self.ours)


def main() -> None:
    """Measure, print a table, and check the limits."""
    options = _options()
    all_figures = []
    for num_rows, works in itertools.product(options.rows, SAME_INPUTS):
        with tempfile.TemporaryDirectory(prefix="pools_", dir=options.folder) as name:
            for work in works:
                if work in options.only:
                    all_figures.append(measure(work, num_rows, Path(name), options))
                    print_line(all_figures[-1], header=len(all_figures) == 1)
    print()
    for line in [*limits(all_figures), *growth(all_figures)]:
        print(line)


def measure(work: str, num_rows: int, folder: Path, options: argparse.Namespace) -> Figures:
    """Run all turns of one piece of work; its inputs are made in ``folder`` once."""
    inputs, out = folder / "in", folder / "out"
    if not inputs.exists():
        run_child("data", work, [], fresh(inputs), num_rows=num_rows)
    paths = sorted(inputs.iterdir())
    chosen = (
        {"statistics": options.statistics} if work == "construction" and options.statistics else {}
    )
    figures = Figures(work, num_rows)
    for repeat in range(options.repeats):
        into_page_cache(paths)
        with_digest = options.cores and repeat == 0
        figures.ours.append(run_child("ours", work, paths, fresh(out), with_digest, **chosen))
        figures.written_mb = (
            sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        )
        if num_rows <= CP_ROWS:
            copy(out, folder / "copy", figures)
        if num_rows <= UPSTREAM_ROWS and repeat < options.upstream_repeats:
            loader = options.upstream_loader
            figures.upstream.append(run_child("upstream", work, paths, fresh(out), loader=loader))
    if options.cores:
        alone = run_child("ours", work, paths, fresh(out), True, one_core=True, **chosen)
        same = "same" if alone.digest == figures.ours[0].digest else "DIFFERENT"
        print(f"{work}: {same} results with one core ({alone.wall:.2f} s, {alone.cpu:.2f} CPU-s)")
    shutil.rmtree(out)
    return figures


def into_page_cache(paths: list[Path]) -> None:
    """Read all, so that no turn waits for the disk."""
    for path in paths:
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def copy(source: Path, target: Path, figures: Figures) -> None:
    """Time `cp` of a folder, as it is and with the wait for the disk."""
    os.sync()
    started = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    figures.cp.append(time.perf_counter() - started)
    os.sync()
    figures.cp_synced.append(time.perf_counter() - started)
    shutil.rmtree(target)


def fresh(folder: Path) -> Path:
    """Return an empty folder of this name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def print_line(figures: Figures, header: bool) -> None:
    """Print one line of the table."""
    if header:
        print(
            f"{'work':<13}{'rows':>9}{'ours s':>9}{'CPU-s':>8}{'peak MB':>9}{'start s':>9}"
            f"{'wrote MB':>10}"
            f"{'original s':>12}{'x':>8}{'cp s':>8}{'x cp':>7}{'+sync s':>9}{'x':>6}"
        )
    wall = figures.wall()
    cpu = statistics.median(turn.cpu for turn in figures.ours)
    start = statistics.median(turn.start for turn in figures.ours)
    line = (
        f"{figures.work:<13}{figures.num_rows:>9}{wall:>9.3f}{cpu:>8.2f}{figures.peak_mb():>9.0f}"
    )
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
    """Return a line for every limit that is or is not kept."""
    lines = []
    for each in all_figures:
        name, wall = f"{each.work} {each.num_rows}", each.wall()
        if each.upstream and each.num_rows == UPSTREAM_ROWS:
            ratio = statistics.median(turn.wall for turn in each.upstream) / wall
            least = TIMES_UPSTREAM.get(each.work, TIMES_UPSTREAM_OTHERS)
            lines.append(
                _verdict(name, f"{ratio:.1f} x the original, at least {least:g}", ratio >= least)
            )
        if each.cp and each.num_rows == CP_ROWS:
            ratio = wall / statistics.median(each.cp)
            most = TIMES_CP.get(each.work, TIMES_CP_OTHERS)
            lines.append(_verdict(name, f"{ratio:.1f} x cp, at most {most:g}", ratio <= most))
        most_mb = MEMORY_MB + MEMORY_BYTES_A_ROW * each.num_rows / 1e6
        text = f"{each.peak_mb():.0f} MB, at most {most_mb:.0f}"
        lines.append(_verdict(name, text, each.peak_mb() <= most_mb))
    return lines


def growth(all_figures: list[Figures]) -> list[str]:
    """Return the change of the time and the memory a row between sizes."""
    lines = []
    for work in WORKS:
        sizes = sorted(
            (each for each in all_figures if each.work == work), key=lambda each: each.num_rows
        )
        for small, large in itertools.pairwise(sizes):
            more = large.num_rows / small.num_rows
            times = large.wall() / small.wall() / more
            cpu = min(turn.cpu for turn in large.ours) / min(turn.cpu for turn in small.ours) / more
            bytes_a_row = (
                (large.peak_mb() - small.peak_mb()) * 1e6 / (large.num_rows - small.num_rows)
            )
            text = f"{times:.2f} x the time a row (CPU {cpu:.2f} x), at most {GROWTH}; "
            text += f"{bytes_a_row:.0f} bytes a row more"
            lines.append(
                _verdict(f"{work} {small.num_rows} to {large.num_rows}", text, times <= GROWTH)
            )
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
    parser.add_argument(
        "--statistics", type=int, help="how many of three construction writes (all ten)"
    )
    parser.add_argument("--upstream-repeats", type=int, default=1, help="0: without the original")
    parser.add_argument(
        "--upstream-loader", choices=("data_juicer", "datasets"), default="data_juicer"
    )
    parser.add_argument(
        "--cores", action="store_true", help="compare the results with one core and with all"
    )
    parser.add_argument("--folder", type=Path, help="place of the data while it runs")
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
