"""The file of the samples that a recipe's operators remove, each with what decided it.

Data-Juicer's own tracer writes a number of samples for every operator, but neither their place in
the data set nor the bound, and nothing for an operator whose result is in the cache.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import juicer_reason
import juicer_stats

REJECTED = "__rejected__"
"""Key under which a removed sample has its reason."""


class Rejections:
    """The removed samples of one run, on their way to ``rejected.jsonl``, and their counts.

    The lines are JSON objects in the order of the operators: a sample as the operator saw it, in
    the form that the executor writes, and under ``__rejected__``

    - ``number``: its place in the data set, from 1; ``None`` after an operator that makes another
      number of samples,
    - ``operator``: its key in the recipe's ``process``,
    - ``statistic``, ``value``, ``bound``: see :mod:`juicer_reason`,
    - ``duplicate_of``: of a duplicate the number of the sample that stays, where equal hashes
      define one.

    Args:
        request: The worker's request.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.num_seen: dict[str, int] = {}
        self.num_rejected: dict[str, int] = {}
        self._path = Path(request["output_dir"]) / "rejected.jsonl"
        self._partial = Path(request["work_dir"]) / "rejected.jsonl"
        self._partial.touch()
        self._keeps_stats = bool(request["recipe"].get("keep_stats_in_res_ds"))
        self._arguments: dict[str, Mapping[str, Any]] = {}
        self._keys: dict[str, deque[str]] = defaultdict(deque)
        process = request["recipe"]["process"]
        for key, entry in zip(request["operator_keys"], process, strict=True):
            ((name, arguments),) = entry.items()
            self._keys[name].append(key)
            self._arguments[key] = arguments

    def named(self, operator: Any) -> dict[str, Any]:
        """Return an operator by its key in the recipe; all of them if several are fused into one.

        Call it once for each, in the order in which they run. Fused mappers have no key.
        """
        parts = getattr(operator, "fused_filters", [operator])
        return {self._keys[part._name].popleft(): part for part in parts if self._keys[part._name]}

    def add(
        self,
        operators: Mapping[str, Any],
        samples: Sequence[Mapping[str, Any]],
        places: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write samples that an operator, or one of several that are fused, removed.

        Args:
            operators: The operator by its key.
            samples: The samples with their statistics.
            places: What else is known of each: ``number``, ``duplicate_of``.
        """
        reasons = juicer_reason.reasons(operators, self._arguments, samples)
        with self._partial.open("a", encoding="utf-8") as out:
            for sample, place, reason in zip(samples, places, reasons, strict=True):
                self.num_rejected[reason["operator"]] += 1
                out.write(self._line(sample, {"number": None, **reason, **place}))

    def begin(self, operators: Mapping[str, Any]) -> None:
        """Begin to count an operator that may remove samples."""
        self.num_rejected |= dict.fromkeys(operators, 0)

    def end(self, operators: Mapping[str, Any], num_seen: int) -> None:
        """End an operator that saw so many samples."""
        for key in operators:
            self.num_seen[key] = num_seen
            num_seen -= self.num_rejected[key]

    def finish(self) -> dict[str, Any]:
        """Put the file in its place; return its path and the counts by operator."""
        self._partial.replace(self._path)
        return {
            "rejected_path": str(self._path),
            "num_seen": self.num_seen,
            "num_rejected": self.num_rejected,
        }

    def _line(self, sample: Mapping[str, Any], reason: Mapping[str, Any]) -> str:
        from data_juicer.core.exporter import Exporter
        from data_juicer.utils.constant import Fields, HashKeys

        dropped = {value for name, value in vars(HashKeys).items() if not name.startswith("_")}
        if not self._keeps_stats:
            dropped |= {Fields.stats, Fields.meta}
        kept = {key: value for key, value in sample.items() if key not in dropped}
        line = Exporter._row_to_json_serializable({**kept, REJECTED: juicer_stats.plain(reason)})
        return json.dumps(line, ensure_ascii=False) + "\n"
