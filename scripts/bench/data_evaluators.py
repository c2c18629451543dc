"""Measure CPU seconds and memory of the evaluators of text data.

    python scripts/bench/data_evaluators.py [--quick] [rows] [evaluator …]

The script generates a pool (570 bytes per row, 10 statistics, 10 % near-duplicates). Every
evaluator reads it in a process of its own; a bare pass that only parses the lines is the reference.
For near-duplicates, Data-Juicer's operator hashes a part of the same texts, with the same
permutations and shingles.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

NUM_WORDS = 20_000
STATISTICS = 10
UPSTREAM_ROWS = 2_000
BARE = """
import json, sys
for line in open(sys.argv[1], "rb"):
    json.loads(line)
"""
UPSTREAM = """
import json, sys, time
from itertools import islice
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
operator = DocumentMinhashDeduplicator(num_bands=25, num_rows_per_band=10)
began, rows = time.process_time(), 0
for rows, line in enumerate(islice(open(sys.argv[1], "rb"), int(sys.argv[2])), start=1):
    operator.compute_hash({"text": json.loads(line)["text"]})
print((time.process_time() - began) / rows)
"""
EVALUATOR = """
import sys
from pathlib import Path
from sandbox.evaluators.{module} import {name}
from sandbox.job import JobScope
folder = Path(sys.argv[2])
scope = JobScope("bench", folder, folder / "log.txt", lambda metrics, step=None: None)
{name}({arguments}).run(None, Path(sys.argv[1]), scope=scope)
"""
EVALUATORS = {
    "text_diversity": ("TextDiversityEvaluator", ""),
    "near_duplicates": ("NearDuplicates", ""),
    "statistic_distributions": ("StatisticDistributions", ""),
    "pool_distance": ("PoolDistance", "reference_path=Path(sys.argv[1])"),
}


def write_pool(path: Path, num_rows: int) -> None:
    """Write rows of Zipf-distributed words; every tenth is the previous one with a word changed."""
    rng = np.random.default_rng(0)
    words = np.array(
        [f"{chr(97 + n % 26)}{np.base_repr(n + 36, 36).lower()}ing" for n in range(NUM_WORDS)]
    )
    shares = 1 / np.arange(1, NUM_WORDS + 1)
    cumulative = np.cumsum(shares / shares.sum())
    before = np.zeros(50, np.int64)
    with path.open("w") as out:
        for row in range(num_rows):
            drawn = np.searchsorted(cumulative, rng.random(40), side="right").clip(
                max=NUM_WORDS - 1
            )
            if row % 10 == 9:
                changed = before.copy()
                changed[rng.integers(0, len(before))] = drawn[0]
                drawn = changed
            before = drawn
            stats = {
                f"statistic_{n}": value
                for n, value in enumerate(rng.random(STATISTICS).round(6).tolist())
            }
            out.write(json.dumps({"text": " ".join(words[drawn]), "__dj__stats__": stats}) + "\n")


def cost(code: str, *arguments: object) -> tuple[float, float]:
    """Return CPU seconds and peak MB of a Python program."""
    # A small parent of its own: the peak of a child starts at the size of the process it forks.
    meter = (
        "import resource, subprocess, sys; "
        "subprocess.run([sys.executable, '-c', *sys.argv[1:]], check=True); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    seconds, memory = printed(meter, code, *arguments)[-2:]
    return seconds, memory


def printed(code: str, *arguments: object) -> list[float]:
    """Return the numbers that a Python program prints in its last line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in output.splitlines()[-1].split()]


def main() -> None:
    """Print one line per evaluator."""
    default = 5_000 if "--quick" in sys.argv else 100_000
    num_rows = next((int(argument) for argument in sys.argv if argument.isdigit()), default)
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder, "pool.jsonl")
        write_pool(pool, num_rows)
        size = pool.stat().st_size
        print(f"{num_rows} rows, {size / num_rows:.0f} bytes per row; CPU seconds, peak memory")
        bare, memory = cost(BARE, pool)
        print(f"{'bare pass':<24} {bare:7.2f} s {memory:6.0f} MB")
        for module in [name for name in EVALUATORS if name in sys.argv] or EVALUATORS:
            name, arguments = EVALUATORS[module]
            code = EVALUATOR.format(module=module, name=name, arguments=arguments)
            seconds, memory = cost(code, pool, folder)
            print(
                f"{module:<24} {seconds:7.2f} s {memory:6.0f} MB, {seconds / bare:5.1f} × bare, "
                f"{seconds / num_rows * 1e6:6.1f} µs per row",
                flush=True,
            )
            if module == "near_duplicates":
                upstream = printed(UPSTREAM, pool, UPSTREAM_ROWS)[-1]
                ratio = upstream * num_rows / seconds
                figures = f"{upstream * 1e6:.1f} µs per row, {ratio:.1f} × ours"
                print(f"  Data-Juicer, hashes only: {figures}")


if __name__ == "__main__":
    main()
