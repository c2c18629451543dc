"""Worker: statistics of every sample by Data-Juicer's filters, called directly on batches of lines.

Request: ``dataset_path``, ``recipe``, ``num_proc``, ``output_dir``, ``result_path`` (written).
Result: ``analysis_dir``, ``statistics``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import juicer_operators
import juicer_session
import juicer_stats
from sample_files import STATS
from worker_start import InputError

_BATCH = 1000  # Data-Juicer's own

# Forked processes inherit the filters, which cannot be sent to a process.
_FILTERS: list[juicer_operators.Statistics] = []


preload = juicer_session.preload


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Write the lines of the data set with the statistics of each, and their overall table."""
    with juicer_session.data_set(request) as data:
        _FILTERS.extend(juicer_operators.load_filters(request["recipe"]))
        num_parts = min(request["num_proc"], data.num_samples)
        bounds = [data.num_samples * i // num_parts for i in range(num_parts + 1)]
        parts = [Path(request["work_dir"]) / f"part-{i}" for i in range(num_parts)]
        _in_processes(
            [
                (data, part, start, end)
                for part, (start, end) in zip(parts, itertools.pairwise(bounds), strict=True)
            ]
        )
    partial = Path(request["result_path"] + ".part")
    with partial.open("wb") as out:
        for part in parts:
            with (part / "lines.jsonl").open("rb") as lines:
                shutil.copyfileobj(lines, out, 1 << 20)
    partial.replace(request["result_path"])
    analysis_dir = Path(request["output_dir"]) / "analysis"
    analysis_dir.mkdir()
    overall = _overall(parts, request["recipe"].get("percentiles") or [])
    overall.to_csv(analysis_dir / "overall.csv")
    return {"analysis_dir": str(analysis_dir), "statistics": juicer_stats.summary(overall)}


def _in_processes(shares: list[tuple[Any, ...]]) -> None:
    """Run the shares side by side, the last one here; a share that fails ends the program."""
    pool: Any
    fork = multiprocessing.get_context("fork")  # the operators are loaded once
    with fork.Pool(len(shares) - 1) if len(shares) > 1 else contextlib.nullcontext() as pool:
        others = [pool.apply_async(_share, share) for share in shares[:-1]]
        _share(*shares[-1])
        for other in others:
            other.get()


def _share(data: juicer_session.PreparedData, part: Path, start: int, end: int) -> None:
    """Write the lines ``start`` to ``end`` with their statistics, and the numbers as columns."""
    part.mkdir()
    columns = _Columns(part)
    with (
        data.path.open(encoding="utf-8", newline="\n") as prepared,
        data.given_stats.open(encoding="utf-8") as given_stats,
        (part / "lines.jsonl").open("w", encoding="utf-8", newline="") as out,
    ):
        lines = itertools.islice(prepared, start, end)
        given = itertools.islice(given_stats, start, end)
        while batch := list(itertools.islice(lines, _BATCH)):
            computed = _statistics([json.loads(line) for line in batch])
            columns.add(computed)
            old = itertools.islice(given, len(batch))
            out.writelines(juicer_stats.joined(batch, old, computed))
    columns.close()


def _statistics(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute the filters' statistics; the batch has a column for every key of a sample."""
    from datasets.utils.json import ujson_dumps, ujson_loads

    keys = dict.fromkeys(itertools.chain.from_iterable(samples))
    batch: dict[str, Any] = {key: [sample.get(key) for sample in samples] for key in keys}
    batch[STATS] = [{} for _ in samples]
    for operator in _FILTERS:
        try:
            batch = operator(batch)
        except Exception as error:
            name = operator.operator_name
            raise InputError(f"{name}: {type(error).__name__}: {error}") from error
    # Data-Juicer's data sets hold numbers with ten digits.
    found: list[dict[str, Any]] = ujson_loads(ujson_dumps(juicer_stats.plain(batch[STATS])))
    return found


class _Columns:
    """Every statistic of a share as a file of floats, or as counted texts, as in pandas.

    A missing number and an empty list are NaN, which counts for nothing but keeps its place: sums
    of floats depend on it in the last digit.
    """

    def __init__(self, part: Path) -> None:
        self._part = part
        self._files: dict[str, BinaryIO] = {}
        self._texts: dict[str, Counter[str]] = {}
        self._names: dict[str, None] = {}

    def add(self, statistics: list[dict[str, Any]]) -> None:
        """Add the statistics of a batch."""
        import numpy as np

        self._names |= dict.fromkeys(itertools.chain.from_iterable(statistics))
        for name in self._names:
            values: list[Any] = []
            for each in statistics:
                values += _flat(each.get(name))
            texts = [value for value in values if isinstance(value, str)]
            if texts:
                self._texts.setdefault(name, Counter()).update(texts)
                continue
            # dtype=float turns None into NaN.
            numbers = np.array(values, dtype=np.float64)
            if name not in self._files:
                self._files[name] = (self._part / f"{name}.float64").open("wb")
            self._files[name].write(numbers.tobytes())

    def close(self) -> None:
        """Close the files, and write the names and the counted texts."""
        for file in self._files.values():
            file.close()
        columns = {"names": list(self._names), "texts": self._texts}
        (self._part / "columns.json").write_text(json.dumps(columns), encoding="utf-8")


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):  # not a number: the Analyzer leaves it out too
        return []
    if isinstance(value, list):
        return value or [None]
    return [value]


def _overall(parts: list[Path], percentiles: list[float]) -> Any:
    """Make Data-Juicer's overall table, with one statistic in memory at a time."""
    import pandas as pd

    shares = [json.loads((part / "columns.json").read_text(encoding="utf-8")) for part in parts]
    ranks = sorted({0.25, 0.5, 0.75, *percentiles})
    columns = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(share["names"] for share in shares)):
        texts: Counter[str] = Counter()
        for share in shares:
            texts.update(share["texts"].get(name, {}))
        if texts:
            top, frequency = texts.most_common(1)[0]
            column = {"count": texts.total(), "unique": len(texts), "top": top, "freq": frequency}
            columns[name] = pd.Series(column)
        elif len(values := _numbers(parts, name)):
            columns[name] = pd.Series(values).describe(percentiles=ranks)
    return pd.DataFrame(columns)


def _numbers(parts: list[Path], name: str) -> Any:
    """Return all values of a statistic, in order; an empty array if none is a number."""
    import numpy as np

    files = [part / f"{name}.float64" for part in parts]
    values = np.concatenate([np.fromfile(file) for file in files if file.exists()] or [np.empty(0)])
    return np.empty(0) if np.isnan(values).all() else values


if __name__ == "__main__":
    juicer_session.start(main)
