"""What ranked pools have in common."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.pool_file import base_names, check_paths, parse, read_lines, write_lines

_log = logging.getLogger(__name__)


class DataPoolCombination(BaseDataPoolManipulator):
    """Intersect ranked data pools in all 2ⁿ-1 ways: each alone, every pair, …, all of them.

    Two samples are equal where their lines are identical, byte for byte, which holds for pools of
    one construction; or where they have the same value under ``key``. An intersection has the lines
    of its best-ranked pool, in that pool's order.

    Outputs:
        paths: The intersections that are not empty, by number of pools, then by rank:
            ``<common prefix of the names>_top_<ranks>_num_<number of samples>.jsonl``.
        names: Their names, ``top_1``, ``top_1_2``, …; rank 1 is the best.
        left_out: Names of the intersections that are empty.

    Args:
        dataset_paths: The n pools, best first.
        key: Where to find what makes two samples equal, a path with dots such as ``meta.id``;
            ``None`` compares whole lines.

    Raises:
        ValueError: ``dataset_paths`` is empty, a pool is empty, or a sample has no such ``key``.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox guide, DataPoolCombination.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths", "names", "left_out")

    def __init__(self, dataset_paths: Sequence[Path], key: str | None = None) -> None:
        check_paths(dataset_paths)
        self.dataset_paths = dataset_paths
        self.key = key

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the intersections."""
        pools = [read_lines(path) for path in self.dataset_paths]
        identities = [
            self._identities(lines, path) for lines, path in zip(pools, self.dataset_paths, strict=True)
        ]
        members: dict[Hashable, int] = {}
        for rank, pool in enumerate(identities):
            for identity in pool:
                members[identity] = members.get(identity, 0) | 1 << rank
        prefix = _common_words(base_names(self.dataset_paths)) or "combination"
        paths, names, left_out = [], [], []
        for ranks in _subsets(len(pools)):
            wanted = sum(1 << rank for rank in ranks)
            best = zip(pools[ranks[0]], identities[ranks[0]], strict=True)
            lines = [line for line, identity in best if members[identity] & wanted == wanted]
            name = "top_" + "_".join(str(rank + 1) for rank in ranks)
            if not lines:
                left_out.append(name)
                continue
            names.append(name)
            paths.append(write_lines(output_dir / f"{prefix}_{name}_num_{len(lines)}.jsonl", lines))
        if left_out:
            _log.warning("empty intersections, left out: %s", ", ".join(left_out))
        return {"paths": paths, "names": names, "left_out": left_out}

    def _identities(self, lines: list[bytes], path: Path) -> list[Hashable]:
        if self.key is None:
            return list(lines)
        return [
            _value(parse(line, path, number), self.key, path, number) for number, line in enumerate(lines, 1)
        ]


def _common_words(names: Sequence[str]) -> str:
    """The leading words, between underscores, that all names share."""
    words = zip(*(name.split("_") for name in names), strict=False)
    return "_".join(word for word, *others in itertools.takewhile(lambda each: len(set(each)) == 1, words))


def _subsets(num_pools: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, num_pools + 1):
        yield from itertools.combinations(range(num_pools), size)


def _value(sample: dict[str, Any], key: str, path: Path, number: int) -> str:
    value: Any = sample
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"{path}: sample {number} has no {key!r}; keys: {', '.join(sample)}")
        value = value[part]
    return json.dumps(value, sort_keys=True)
