"""The samples that a recipe's operators remove, each with what decided it.

Data-Juicer's own tracer writes a number of samples for every operator, but neither their place in
the data set nor the bound, and nothing for an operator whose result is in the cache.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import juicer_reason
import juicer_stats
from sample_files import STATS

REJECTED = "__rejected__"
"""Key under which a removed sample has its reason."""

_BATCH = 1000


class Rejections:
    """Record of one run of Data-Juicer: watches its operators, and writes what they remove.

    The lines are JSON objects in the order of the operators: a sample as the operator saw it, in
    the form that the executor writes, and under ``__rejected__``

    - ``number``: its place in the data set, from 1; ``None`` after an operator that makes another
      number of samples,
    - ``operator``: its key in the recipe's ``process``,
    - ``statistic``, ``value``, ``bound``: see :mod:`juicer_reason`,
    - ``duplicate_of``: of a duplicate the number of the sample that stays, where equal hashes
      define one.

    Memory: 8 bytes a sample for the numbers, and what an operator keeps.

    Args:
        request: The worker's request.
        num_samples: Number of samples of the data set.
    """

    def __init__(self, request: Mapping[str, Any], num_samples: int) -> None:
        import numpy as np

        recipe = request["recipe"]
        self.num_seen: dict[str, int] = {}
        self.num_rejected: dict[str, int] = {}
        self._path = Path(request["output_dir"]) / "rejected.jsonl"
        self._partial = Path(request["work_dir"]) / "rejected.jsonl"
        self._partial.touch()
        self._keeps_stats = bool(recipe.get("keep_stats_in_res_ds"))
        self._numbers: Any = np.arange(1, num_samples + 1)
        self._steps: list[tuple[Any, Any, Any]] = []
        self._arguments: dict[str, Mapping[str, Any]] = {}
        self._operators: dict[int, dict[str, Any]] = {}
        self._keys: dict[str, deque[str]] = defaultdict(deque)
        for key, operator in zip(request["operator_keys"], recipe["process"], strict=True):
            ((name, arguments),) = operator.items()
            self._keys[name].append(key)
            self._arguments[key] = arguments

    def watch(self) -> None:
        """Watch every operator that Data-Juicer, imported already, runs in this process."""
        from data_juicer.core.data import NestedDataset
        from data_juicer.ops import base_op

        # Not the operators themselves: what they hold counts in the cache's fingerprints.
        for base in (base_op.Filter, base_op.Deduplicator, base_op.Selector):
            base.run = self._noted(base.run)
        NestedDataset.process = self._named(NestedDataset.process)
        NestedDataset.filter = self._with_filter(NestedDataset.filter)
        NestedDataset.select = self._with_select(NestedDataset.select)

    def finish(self) -> dict[str, Any]:
        """Put the file in its place; return its path and the counts by operator."""
        self._partial.replace(self._path)
        return {
            "rejected_path": str(self._path),
            "num_seen": self.num_seen,
            "num_rejected": self.num_rejected,
        }

    def _named(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Find the keys of the executor's operators, which may be fused and in another order."""

        def process_named(dataset: Any, operators: Sequence[Any], **kwargs: Any) -> Any:
            # Data-Juicer also runs these on a few samples before, and others in between.
            for operator in operators if not self._operators else ():
                parts = getattr(operator, "fused_filters", [operator])
                named = {self._keys[part._name].popleft(): part for part in parts}
                self._operators[id(operator)] = named
            return process(dataset, operators, **kwargs)

        return process_named

    def _with_filter(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(dataset: Any, *args: Any, **kwargs: Any) -> Any:
            result = method(dataset, *args, **kwargs)
            self._steps.append((dataset, result, None))
            return result

        return noted

    def _with_select(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(dataset: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
            indices = list(indices) if isinstance(indices, Iterator) else indices
            result = method(dataset, indices, *args, **kwargs)
            self._steps.append((dataset, result, indices))
            return result

        return noted

    def _noted(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def run_and_note(operator: Any, dataset: Any, **kwargs: Any) -> Any:
            self._steps.clear()
            result = run(operator, dataset, **kwargs)
            if id(operator) in self._operators:
                self._note(self._operators[id(operator)], dataset, result)
            self._steps.clear()
            return result

        return run_and_note

    def _note(self, operators: Mapping[str, Any], dataset: Any, result: Any) -> None:
        """Write what an operator removed from a data set, and number what it kept."""
        import numpy as np

        self.num_rejected |= dict.fromkeys(operators, 0)
        origin, kept = self._trace(result)
        if self._numbers is not None and len(self._numbers) != len(origin):
            self._numbers = None
        is_removed = np.ones(len(origin), dtype=bool)
        is_removed[kept] = False
        removed = np.flatnonzero(is_removed)
        hashes = sorted(set(origin.column_names) - set(dataset.column_names) - {STATS})
        kept_by_hash = _first_places(origin, hashes, kept, removed)
        with self._partial.open("a", encoding="utf-8") as out:
            for places, samples in _batches(origin, removed):
                reasons = juicer_reason.reasons(operators, self._arguments, samples)
                for place, sample, reason in zip(places, samples, reasons, strict=True):
                    self.num_rejected[reason["operator"]] += 1
                    number = {"number": self._number(place)}
                    if hashes:
                        first = kept_by_hash.get(_hash(sample, hashes))
                        reason["duplicate_of"] = None if first is None else self._number(first)
                    out.write(self._line(sample, number | reason))
        seen = len(origin)
        for key in operators:
            self.num_seen[key] = seen
            seen -= self.num_rejected[key]
        if self._numbers is not None:
            self._numbers = self._numbers[kept]

    def _trace(self, result: Any) -> tuple[Any, Any]:
        """Return the data set that an operator removed samples from, and the places that it kept.

        It is not the operator's input: a filter computes statistics before it removes anything.
        """
        import numpy as np

        origin, kept = result, np.arange(len(result))
        for before, after, selected in reversed(self._steps):
            if after is origin and after is not before:
                places = _kept_by_filter(before, after) if selected is None else selected
                origin, kept = before, np.asarray(places, dtype=np.int64)[kept]
        return origin, kept

    def _number(self, place: int) -> int | None:
        return None if self._numbers is None else int(self._numbers[place])

    def _line(self, sample: Mapping[str, Any], reason: Mapping[str, Any]) -> str:
        from data_juicer.core.exporter import Exporter
        from data_juicer.utils.constant import Fields, HashKeys

        dropped = {value for name, value in vars(HashKeys).items() if not name.startswith("_")}
        if not self._keeps_stats:
            dropped |= {Fields.stats, Fields.meta}
        kept = {key: value for key, value in sample.items() if key not in dropped}
        line = Exporter._row_to_json_serializable({**kept, REJECTED: juicer_stats.plain(reason)})
        return json.dumps(line, ensure_ascii=False) + "\n"


def _kept_by_filter(before: Any, after: Any) -> Any:
    """Return the places in ``before`` of the samples that are in ``after``, ascending."""
    import numpy as np

    # Both point into one table; a data set that was never filtered has it in its own order.
    kept = after._indices.column(0).to_numpy()
    if before._indices is None:
        return kept
    return np.flatnonzero(np.isin(before._indices.column(0).to_numpy(), kept))


def _batches(dataset: Any, places: Any) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    from datasets import Dataset

    for start in range(0, len(places), _BATCH):
        some = places[start : start + _BATCH].tolist()
        # Plain values: Data-Juicer's own method wraps them for its nested keys.
        columns = Dataset.__getitem__(dataset, some)
        rows = zip(*columns.values(), strict=True)
        yield some, [dict(zip(columns, row, strict=True)) for row in rows]


def _hash(sample: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps([sample[key] for key in keys], default=str)


def _first_places(dataset: Any, keys: Sequence[str], kept: Any, removed: Any) -> dict[str, int]:
    """Return the first kept place of every hash that a removed sample has."""
    if not keys or not len(removed):
        return {}
    columns = dataset.select_columns(list(keys))
    wanted = {_hash(row, keys) for _, rows in _batches(columns, removed) for row in rows}
    found: dict[str, int] = {}
    for places, rows in _batches(columns, kept):
        for place, row in zip(places, rows, strict=True):
            text = _hash(row, keys)
            if text in wanted:
                found.setdefault(text, place)
    return found
