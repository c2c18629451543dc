"""Watch Data-Juicer's operators in this process, to find the samples that each removes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from juicer_rejected import Rejections
from sample_files import STATS

_BATCH = 1000


class Watch:
    """Watch of one run; memory: 8 bytes a sample for the numbers, and what an operator keeps.

    Args:
        rejections: Receives the removed samples.
        num_samples: Number of samples of the data set.
    """

    def __init__(self, rejections: Rejections, num_samples: int) -> None:
        import numpy as np

        self._rejections = rejections
        self._numbers: Any = np.arange(1, num_samples + 1)
        self._operators: dict[int, dict[str, Any]] = {}
        self._steps: list[tuple[Any, Any, Any]] = []

    def begin(self) -> None:
        """Watch every operator that Data-Juicer, imported already, runs from now on."""
        from data_juicer.core.data import NestedDataset
        from data_juicer.ops import base_op

        # Not the operators themselves: what they hold counts in the cache's fingerprints.
        for base in (base_op.Filter, base_op.Deduplicator, base_op.Selector):
            base.run = self._watched(base.run)
        NestedDataset.process = self._with_names(NestedDataset.process)
        NestedDataset.filter = self._with_filter(NestedDataset.filter)
        NestedDataset.select = self._with_select(NestedDataset.select)

    def _with_names(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Note the executor's operators, which may be fused and in another order."""

        def process_named(dataset: Any, operators: Sequence[Any], **kwargs: Any) -> Any:
            # Data-Juicer also runs these on a few samples before, and others in between.
            for operator in operators if not self._operators else ():
                self._operators[id(operator)] = self._rejections.named(operator)
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

    def _watched(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def run_watched(operator: Any, dataset: Any, **kwargs: Any) -> Any:
            self._steps.clear()
            result = run(operator, dataset, **kwargs)
            operators = self._operators.get(id(operator))
            if operators:
                self._rejections.begin(operators)
                self._add(operators, dataset, result)
                self._rejections.end(operators, len(dataset))
            self._steps.clear()
            return result

        return run_watched

    def _add(self, operators: dict[str, Any], dataset: Any, result: Any) -> None:
        """Add the samples that an operator removed from a data set, and number the others."""
        import numpy as np

        origin, kept = self._trace(result)
        if self._numbers is not None and len(self._numbers) != len(origin):
            self._numbers = None
        is_removed = np.ones(len(origin), dtype=bool)
        is_removed[kept] = False
        removed = np.flatnonzero(is_removed)
        hashes = sorted(set(origin.column_names) - set(dataset.column_names) - {STATS})
        first_places = _first_places(origin, hashes, kept, removed)
        for some, samples in _batches(origin, removed):
            places = [{"number": self._number(place)} for place in some]
            for place, sample in zip(places, samples if hashes else (), strict=bool(hashes)):
                place["duplicate_of"] = self._number(first_places.get(_hash(sample, hashes)))
            self._rejections.add(operators, samples, places)
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

    def _number(self, place: int | None) -> int | None:
        return None if self._numbers is None or place is None else int(self._numbers[place])


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


def _hash(sample: dict[str, Any], keys: Sequence[str]) -> str:
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
