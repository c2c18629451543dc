"""CPU time of the probes: Data-Juicer's own Analyzer, ours around it, and the fast one.

    python scripts/bench/probe.py [--rows 5000] [--rounds 3] [--num-proc 1] [--quick]

A data set of generated texts (about 200 characters each) goes through 8 text filters, in turns,
every turn from the start of a program to its end:

    upstream  ``data_juicer.core.Analyzer`` with the same recipe in its own program and an empty
              cache, as its users run it, tables and figures included
    analyzer  ``probe=analyzer``, without a cache
    fast      ``probe=fast``
    cached    ``probe=analyzer`` on the same data, with another threshold of the last filter

It prints medians of user + system time, of wall time, and ratios of the first to ``fast``; the
results of the probes must agree to the last byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sandbox.executors.data_juicer import DataJuicerAnalyzer, DataJuicerFastProbe  # noqa: E402
from sandbox.job import JobScope  # noqa: E402

PROCESS: dict[str, dict[str, Any]] = {
    "alphanumeric_filter": {},
    "average_line_length_filter": {},
    "character_repetition_filter": {"rep_len": 10},
    "maximum_line_length_filter": {},
    "special_characters_filter": {},
    "text_length_filter": {},
    "word_repetition_filter": {"rep_len": 5},
    "words_num_filter": {"min_num": 1},
}
UPSTREAM = """
import json, sys
sys.path.insert(0, sys.argv[2])
import juicer_import
juicer_import.guard()  # Data-Juicer would otherwise install packages
from data_juicer.config import get_init_configs
from data_juicer.core import Analyzer
Analyzer(get_init_configs(json.loads(sys.argv[1]))).run()
"""


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-proc", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="500 rows, one round")
    options = parser.parse_args()
    rows, rounds = (500, 1) if options.quick else (options.rows, options.rounds)
    os.environ["OMP_NUM_THREADS"] = "1"
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write(folder / "data.jsonl", rows)
        other = {**PROCESS, "words_num_filter": {"min_num": 2}}
        analyzer = DataJuicerAnalyzer(num_proc=options.num_proc)
        fast = DataJuicerFastProbe(num_proc=options.num_proc)
        probe(analyzer, data, PROCESS, folder / "warm", folder / "cache")
        turns: dict[str, Callable[[Path], None]] = {
            "upstream": lambda out: upstream(data, out, options.num_proc),
            "analyzer": lambda out: probe(analyzer, data, PROCESS, out),
            "fast": lambda out: probe(fast, data, PROCESS, out),
            "cached": lambda out: probe(analyzer, data, other, out, folder / "cache"),
        }
        for number in range(rounds):
            for turn, work in turns.items():
                if turn == "cached":  # the last operator's results are to be made each time
                    other["words_num_filter"] = {"min_num": 2 + number}
                times.setdefault(turn, []).append(measure(work, folder / f"{turn}-{number}"))
            results = [
                (folder / f"{turn}-{number}/analyzed.jsonl").read_bytes()
                for turn in turns
                if turn != "upstream"
            ]
            assert len(set(results)) == 1, "the probes disagree"
    report(times, rows)


def write(path: Path, rows: int) -> Path:
    """Generated samples with texts of 15 to 60 words."""
    draw = random.Random(7)
    words = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(1, 9)))
        for _ in range(3000)
    ]
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = " ".join(draw.choices(words, k=draw.randint(15, 60))) + "."
            file.write(json.dumps({"id": number, "text": text}) + "\n")
    return path


def upstream(data: Path, out: Path, num_proc: int) -> None:
    """Data-Juicer's Analyzer in a program of its own."""
    config = {
        "dataset_path": str(data),
        "export_path": str(out / "analyzed.jsonl"),
        "work_dir": str(out),
        "np": num_proc,
        "process": [{name: dict(arguments)} for name, arguments in PROCESS.items()],
    }
    variables = {
        "HF_DATASETS_CACHE": str(out / "cache"),
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
    }
    out.mkdir()
    subprocess.run(
        [sys.executable, "-c", UPSTREAM, json.dumps(config), str(ROOT / "sandbox" / "workers")],
        check=True,
        capture_output=True,
        env={**os.environ, **variables},
    )


def probe(
    component: Any, data: Path, process: Any, out: Path, cache_dir: Path | None = None
) -> None:
    """One of our probes."""
    out.mkdir()
    scope = JobScope("probe", out, out.with_suffix(".log"), _ignore, cache_dir)
    component.run(data, {"process": process}, scope=scope)


def _ignore(metrics: Any, step: int | None = None) -> None:
    """Watch nothing."""


def measure(work: Callable[[Path], None], out: Path) -> tuple[float, float]:
    """CPU seconds of the programs that ``work`` starts, and wall seconds."""
    started, before = time.perf_counter(), cpu()
    work(out)
    return cpu() - before, time.perf_counter() - started


def cpu() -> float:
    """User and system time of all children so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(times: dict[str, list[tuple[float, float]]], rows: int) -> None:
    """Print medians, and how many times the fast probe's CPU time each takes."""
    medians = {
        turn: [statistics.median(column) for column in zip(*each, strict=True)]
        for turn, each in times.items()
    }
    print(f"{rows} rows, {len(PROCESS)} filters")
    for turn, (cpu_s, wall_s) in medians.items():
        ratio = cpu_s / medians["fast"][0]
        print(f"{turn:10} {cpu_s:6.2f} CPU-s {wall_s:6.2f} s   {ratio:5.2f} x fast")


if __name__ == "__main__":
    main()
