"""Statistics of every sample by Data-Juicer's filters, called directly on batches of lines."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import juicer_lines
import juicer_operators
import juicer_session
import juicer_stats
from worker_start import InputError

_BATCH = 1000  # Data-Juicer's own
_FILTERS: list[
    juicer_operators.Statistics
] = []  # inherited by forks: filters cannot be sent to a process


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Write the lines of the data set with the statistics of each, and their overall table."""
    with juicer_session.data_set(request) as (dataset_path, num_samples):
        _FILTERS.extend(juicer_operators.load_filters(request["recipe"]))
        num_parts = min(request["num_proc"], num_samples)
        parts = [Path(request["work_dir"]) / f"part-{index}" for index in range(num_parts)]
        sizes = [
            num_samples * (i + 1) // num_parts - num_samples * i // num_parts
            for i in range(num_parts)
        ]
        _in_processes(
            [
                (request, dataset_path, part, sum(sizes[:index]), sizes[index])
                for index, part in enumerate(parts)
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


def _share(request: dict[str, Any], dataset_path: Path, part: Path, start: int, size: int) -> None:
    """Lines ``start`` to ``start + size``: with statistics to ``lines.jsonl``, the numbers to columns."""
    part.mkdir()
    columns = _Columns(part)
    source = juicer_stats.originals(Path(request["dataset_path"]))
    with (
        dataset_path.open(encoding="utf-8", newline="\n") as prepared,
        (part / "lines.jsonl").open("w", encoding="utf-8", newline="") as out,
    ):
        lines = itertools.islice(prepared, start, start + size)
        # parsed a second time only where statistics of its own may be kept
        originals = (
            itertools.islice(source, start, start + size) if _has_statistics(request) else None
        )
        while batch := list(itertools.islice(lines, _BATCH)):
            samples = [json.loads(line) for line in batch]
            statistics = _statistics(samples)
            columns.add(statistics)
            given = samples if originals is None else itertools.islice(originals, len(batch))
            out.writelines(juicer_stats.joined(given, batch, statistics))
    columns.close()


def _has_statistics(request: dict[str, Any]) -> bool:
    key = juicer_lines.STATS.encode()
    with Path(request["dataset_path"]).open("rb") as file:
        return any(key in line for line in file)


def _statistics(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the filters record of each sample; the batch has a column for every key of a sample."""
    keys = dict.fromkeys(key for sample in samples for key in sample)
    batch: dict[str, Any] = {key: [sample.get(key) for sample in samples] for key in keys}
    batch[juicer_lines.STATS] = [{} for _ in samples]
    for operator in _FILTERS:
        try:
            batch = operator(batch)
        except Exception as error:
            name = operator.operator_name
            raise InputError(f"{name}: {type(error).__name__}: {error}") from error
    from datasets.utils.json import ujson_dumps, ujson_loads

    # as Data-Juicer's data sets hold them: numbers with ten digits
    found: list[dict[str, Any]] = ujson_loads(
        ujson_dumps(juicer_stats.plain(batch[juicer_lines.STATS]))
    )
    return found


class _Columns:
    """Every statistic of a share as a file of floats, or of counted texts, as pandas would hold it.

    A missing number and an empty list are NaN, which counts for nothing but keeps its place: sums of
    floats depend on it in the last digit.
    """

    def __init__(self, part: Path) -> None:
        self._part = part
        self._files: dict[str, BinaryIO] = {}
        self._texts: dict[str, Counter[str]] = {}
        self._names: dict[str, None] = {}

    def add(self, statistics: list[dict[str, Any]]) -> None:
        """Add the statistics of a batch."""
        import numpy as np

        self._names |= dict.fromkeys(name for each in statistics for name in each)
        for name in self._names:
            values = [value for each in statistics for value in _flat(each.get(name))]
            if any(isinstance(value, str) for value in values):
                self._texts.setdefault(name, Counter()).update(
                    v for v in values if isinstance(v, str)
                )
                continue
            numbers = np.array(
                [np.nan if value is None else value for value in values], dtype=np.float64
            )
            if name not in self._files:
                self._files[name] = (self._part / f"{name}.float64").open("wb")
            self._files[name].write(numbers.tobytes())

    def close(self) -> None:
        """Write what is left."""
        for file in self._files.values():
            file.close()
        columns = {"names": list(self._names), "texts": self._texts}
        (self._part / "columns.json").write_text(json.dumps(columns), encoding="utf-8")


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):  # no number: the Analyzer leaves it out too
        return
    if isinstance(value, list):
        yield from value or [None]
    else:
        yield value


def _overall(parts: list[Path], percentiles: list[float]) -> Any:
    """Data-Juicer's overall table, one statistic in memory at a time."""
    import pandas as pd

    shares = [json.loads((part / "columns.json").read_text(encoding="utf-8")) for part in parts]
    ranks = sorted({0.25, 0.5, 0.75, *percentiles})
    columns = {}
    for name in dict.fromkeys(name for share in shares for name in share["names"]):
        texts: Counter[str] = sum(
            (Counter(share["texts"].get(name, {})) for share in shares), Counter()
        )
        if texts:
            top, frequency = texts.most_common(1)[0]
            column = {"count": texts.total(), "unique": len(texts), "top": top, "freq": frequency}
            columns[name] = pd.Series(column)
        elif len(values := _numbers(parts, name)):
            columns[name] = pd.Series(values).describe(percentiles=ranks)
    return pd.DataFrame(columns)


def _numbers(parts: list[Path], name: str) -> Any:
    """All values of a statistic, in order; none where there is no number."""
    import numpy as np

    files = [part / f"{name}.float64" for part in parts]
    values = np.concatenate([np.fromfile(file) for file in files if file.exists()] or [np.empty(0)])
    return np.empty(0) if np.isnan(values).all() else values


if __name__ == "__main__":
    juicer_session.start(main)
