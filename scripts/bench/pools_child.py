"""One piece of work on pools in a process of its own; prints one line of JSON for `pools.py`.

    python scripts/bench/pools_child.py '{"side": "ours", "work": "merging", "inputs": […], …}'

Seconds and CPU seconds (children included) are those of the work; seconds until its output is on
the disk count apart. Before the clock starts the same work is done on the first lines of the same
pools, so that the imports of both sides, also late ones, do not count.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
NUMERIC = (
    "alnum_ratio",
    "special_char_ratio",
    "char_rep_ratio",
)  # the pools' statistics, in this order
TIMES = (2, 4)


def main() -> None:
    """Do the work that the argument names."""
    request = json.loads(sys.argv[1])
    sys.path[:0] = [str(ROOT), str(HERE)]
    os.environ["HF_HUB_OFFLINE"] = "1"
    if request["one_core"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    sides: dict[str, Callable[..., Callable[[], Any]]] = {
        "data": data,
        "ours": ours,
        "upstream": upstream,
    }
    paths = [Path(path) for path in request["inputs"]]
    out = Path(request["out"])
    make = sides[request["side"]]
    if request["side"] == "upstream":  # read when `datasets` is imported
        os.environ["HF_DATASETS_CACHE"] = str(out / "cache")
    if paths:
        with tempfile.TemporaryDirectory(dir=out.parent) as name:
            make(request["work"], _heads(paths, Path(name)), Path(name), **request["options"])()
    work = make(request["work"], paths, out, **request["options"])
    started, (user, system) = time.perf_counter(), _cpu_seconds()
    result = work()
    answer: dict[str, Any] = {"wall": time.perf_counter() - started}
    user_after, system_after = _cpu_seconds()
    answer |= {"user": user_after - user, "system": system_after - system}
    _sync(out)
    answer["synced"] = time.perf_counter() - started
    answer["digest"] = digest(result, out) if request["digest"] else None
    sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]


def data(work: str, inputs: list[Path], out: Path, num_rows: int) -> Callable[[], Any]:
    """Generate the inputs of a piece of work, into ``out``."""
    import pools_data

    if work == "construction":
        return lambda: pools_data.write_rows(out / "data.jsonl", num_rows)
    if work == "join":
        pools_data.write_prompts(out / "left.jsonl", 100)
        return lambda: pools_data.write_pictures(out / "right.jsonl", max(10_000, num_rows // 100))
    return lambda: pools_data.write_pools(out, num_rows, NUMERIC)


def ours(
    work: str, inputs: list[Path], out: Path, statistics: int | None = None
) -> Callable[[], Any]:
    """Return the work by our class."""
    from sandbox.job import JobScope

    manipulator = _manipulator(work, inputs, statistics)
    scope = JobScope("bench", out, out / "log", lambda metrics, step=None: None)
    return lambda: vars(manipulator.run(scope=scope))


def _manipulator(work: str, inputs: list[Path], statistics: int | None) -> Any:
    if work == "construction":
        from sandbox.pools.construction import DataPoolConstruction

        chosen = NUMERIC[:statistics] if statistics else None
        return DataPoolConstruction(dataset_path=inputs[0], statistics=chosen)
    if work == "combination":
        from sandbox.pools.combination import DataPoolCombination

        return DataPoolCombination(dataset_paths=inputs)
    if work == "downsampling":
        from sandbox.pools.downsampling import DataPoolDownsampling

        num_samples = _half_of_a_pool(inputs)
        return DataPoolDownsampling(dataset_paths=inputs, num_samples=num_samples)
    if work == "merging":
        from sandbox.pools.merging import DataPoolMerging

        return DataPoolMerging(dataset_paths=inputs)
    if work == "join":
        from sandbox.pools.cartesian_join import DataPoolCartesianJoin

        return DataPoolCartesianJoin(first_paths=inputs[:1], second_paths=inputs[1:])
    from sandbox.pools.duplication import DataPoolDuplication

    return DataPoolDuplication(
        dataset_paths=inputs[:1], duplicating_times=TIMES, shuffle=work == "shuffling"
    )


def upstream(work: str, inputs: list[Path], out: Path, loader: str) -> Callable[[], Any]:
    """Return the work in the original's way, on a cold cache."""
    import pools_upstream as plain
    import pyarrow.json  # noqa: F401 - imported before the clock starts, as all else

    plain.prepare(loader)
    num_samples = _half_of_a_pool(inputs)
    works: dict[str, Callable[[], Any]] = {
        "construction": lambda: plain.construction(inputs, out),
        "combination": lambda: plain.combination(inputs, out),
        "downsampling": lambda: plain.downsampling(inputs, out, num_samples),
        "duplication": lambda: plain.duplication(inputs[:1], out, TIMES, shuffle=False),
        "shuffling": lambda: plain.duplication(inputs[:1], out, TIMES, shuffle=True),
        "merging": lambda: plain.merging(inputs, out),
        "join": lambda: plain.join(inputs[:1], inputs[1:], out),
    }
    return works[work]


def digest(result: Any, out: Path) -> str:
    """Return one hash of the names and contents of all files, and of the results."""
    whole = hashlib.sha256(
        json.dumps(result, default=str, sort_keys=True).replace(str(out), "").encode()
    )
    for path in sorted(out.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
                whole.update(f"{path.relative_to(out)} {content}".encode())
    return whole.hexdigest()


def _heads(paths: list[Path], folder: Path, num_lines: int = 300) -> list[Path]:
    """Return the same pools, but short."""
    heads = []
    for number, path in enumerate(paths):
        (folder / str(number)).mkdir()
        heads.append(folder / str(number) / path.name)
        with path.open("rb") as file:
            heads[-1].write_bytes(b"".join(itertools.islice(file, num_lines)))
    return heads


def _half_of_a_pool(inputs: list[Path]) -> int:
    with inputs[0].open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b"")) // 2


def _sync(folder: Path) -> None:
    """Wait until the files of a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _cpu_seconds() -> tuple[float, float]:
    """Return user and system seconds, children included."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime for usage in usages), sum(usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
