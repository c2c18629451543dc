"""Tables and limits of `pools.py`."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field

from pools_process import DiskWrite, Turn

UPSTREAM_ROWS, CP_ROWS = 100_000, 1_000_000
TIMES_UPSTREAM = {"construction": 20.0, "combination": 30.0}  # at 100,000 rows; the others:
TIMES_UPSTREAM_OTHERS = 80.0
TIMES_CP = {"construction": 5.0, "combination": 7.0}  # at a million rows; the others:
TIMES_CP_OTHERS = 4.0
GROWTH = 1.2  # of the CPU time a row, from a million to ten million
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
    dd: DiskWrite = field(init=False)
    written_mb: float = 0

    def wall(self) -> float:
        """Return our median seconds."""
        return statistics.median(turn.wall for turn in self.ours)

    def peak_mb(self) -> float:
        """Return our largest peak."""
        return max(turn.peak_mb for turn in self.ours)

    def least(self) -> Turn:
        """Return our turn with the least CPU time: others on the machine only add to it."""
        return min(self.ours, key=lambda turn: turn.cpu)

    def us_a_row(self, seconds: float) -> float:
        """Return microseconds a row."""
        return seconds / self.num_rows * 1e6


def print_line(figures: Figures, header: bool) -> None:
    """Print one line of the table of times."""
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


def disk(all_figures: list[Figures]) -> list[str]:
    """Return a table of bytes a second until they are on the disk, and of CPU time a row."""
    lines = [
        f"{'work':<13}{'rows':>9}{'wrote MB':>10}{'MB/s':>7}{'dd MB/s':>9}{'of dd':>7}"
        f"{'CPU us a row':>14}{'user':>7}{'system':>8}{'dd':>7}"
    ]
    for each in all_figures:
        ours = each.written_mb / statistics.median(turn.synced for turn in each.ours)
        dd = each.written_mb / each.dd.wall
        least = each.least()
        lines.append(
            f"{each.work:<13}{each.num_rows:>9}{each.written_mb:>10.1f}{ours:>7.0f}{dd:>9.0f}"
            f"{ours / dd:>7.0%}{each.us_a_row(least.cpu):>14.2f}{each.us_a_row(least.user):>7.2f}"
            f"{each.us_a_row(least.system):>8.2f}{each.us_a_row(each.dd.cpu):>7.2f}"
        )
    return lines


def limits(all_figures: list[Figures]) -> list[str]:
    """Return a line for every limit that is or is not kept."""
    lines = []
    for each in all_figures:
        name, wall = f"{each.work} {each.num_rows}", each.wall()
        if each.upstream and each.num_rows == UPSTREAM_ROWS:
            ratio = statistics.median(turn.wall for turn in each.upstream) / wall
            least = TIMES_UPSTREAM.get(each.work, TIMES_UPSTREAM_OTHERS)
            text = f"{ratio:.1f} x the original, at least {least:g}"
            lines.append(f"{_verdict(ratio >= least)}{name}: {text}")
        if each.cp and each.num_rows == CP_ROWS:
            ratio = wall / statistics.median(each.cp)
            most = TIMES_CP.get(each.work, TIMES_CP_OTHERS)
            lines.append(f"{_verdict(ratio <= most)}{name}: {ratio:.1f} x cp, at most {most:g}")
        most_mb = MEMORY_MB + MEMORY_BYTES_A_ROW * each.num_rows / 1e6
        text = f"{each.peak_mb():.0f} MB, at most {most_mb:.0f}"
        lines.append(f"{_verdict(each.peak_mb() <= most_mb)}{name}: {text}")
    return lines


def growth(all_figures: list[Figures]) -> list[str]:
    """Return a table of the CPU time a row between sizes, with the same of `dd`."""
    lines = []
    for work in dict.fromkeys(each.work for each in all_figures):
        sizes = sorted(
            (each for each in all_figures if each.work == work), key=lambda each: each.num_rows
        )
        for small, large in itertools.pairwise(sizes):
            times = _us(large) / _us(small)
            dd = large.us_a_row(large.dd.cpu) / small.us_a_row(small.dd.cpu)
            wall = large.us_a_row(large.wall()) / small.us_a_row(small.wall())
            more_rows = large.num_rows - small.num_rows
            bytes_a_row = (large.peak_mb() - small.peak_mb()) * 1e6 / more_rows
            lines.append(
                f"{_verdict(times <= GROWTH)}{work:<13}{small.num_rows:>9}{large.num_rows:>10}"
                f"{_us(small):>8.2f}{_us(large):>8.2f}{times:>7.2f}{dd:>7.2f}{wall:>7.2f}"
                f"{bytes_a_row:>12.0f}"
            )
    if lines:
        header = (
            f"{'':<7}{'work':<13}{'from rows':>9}{'to':>10}{'CPU us a row':>16}{'x':>7}"
            f"{'dd x':>7}{'wall x':>7}{'bytes a row':>12}"
        )
        lines = [f"growth of the CPU time a row, at most {GROWTH} x:", header, *lines]
    return lines


def _us(figures: Figures) -> float:
    return figures.us_a_row(figures.least().cpu)


def _verdict(holds: bool) -> str:
    return "ok     " if holds else "NOT OK "
