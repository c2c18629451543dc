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
before, inputs are in the page cache for both, and ours finds free memory that was just used
(`use_free_memory`). `cp` does not wait for the disk, so `+sync` is a copy that does. The original
(`pools_upstream.py`) reads with a cold cache of `datasets`; with a warm one it takes half. It runs
up to 100,000 rows, `cp` up to a million. Memory is the larger of the process's own peak and the sum
over it and its children, sampled every 20 ms; files that it maps count.

The second table shows the disk: bytes a second of ours until all is on the disk, and of `dd`, which
writes as many zeros into the same folder, once. It also splits the CPU time a row of our turn with
the least into user and system time. Growth is that of this CPU time, beside that of `dd`: a work
may grow by 1.2 from a million to ten million rows.

Construction of ten million rows with all statistics would write 50 GB: `--statistics 2` writes two.
All data is in a folder that is removed at the end (`--folder`, 16 GB for ten million rows).
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pools_process import run_child, run_dd
from pools_report import CP_ROWS, UPSTREAM_ROWS, Figures, disk, growth, limits, print_line

SAME_INPUTS = (
    ("construction",),
    ("combination", "downsampling", "duplication", "shuffling", "merging"),
    ("join",),
)
WORKS = tuple(itertools.chain(*SAME_INPUTS))
MEMORY_A_ROW = 1500  # bytes: page cache of what is written, and the work's own
USE_MEMORY = """
import mmap, sys
mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
"""


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
    for lines in (disk(all_figures), limits(all_figures), growth(all_figures)):
        print("\n".join(lines), end="\n\n")


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
        use_free_memory(num_rows)
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
    use_free_memory(num_rows)
    figures.dd = run_dd(folder / "dd", round(figures.written_mb * 1e6))
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


def use_free_memory(num_rows: int) -> None:
    """Use as much free memory as a turn may need, once, and free it again.

    A virtual machine gets memory from its host when it is used for the first time, or again after
    a while: writing a GB then takes 2.2 CPU-s instead of 0.3, with `dd` too. A small turn finds
    what the turn before has freed, a large one would not.
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemFree"))
    num_bytes = min(num_rows * MEMORY_A_ROW, free * 4 // 5)
    # In another process: children of this one would inherit its peak.
    subprocess.run([sys.executable, "-c", USE_MEMORY, str(num_bytes)], check=True)


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
