"""Pools that differ in one statistic."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.pool_file import base_names, draw, parse, read_lines, write_lines

_STATS = "__dj__stats__"
_RANDOM = "random"
_log = logging.getLogger(__name__)


class DataPoolConstruction(BaseDataPoolManipulator):
    """Split a data set into pools along each of its statistics, with random pools as controls.

    For every statistic the samples are sorted in ascending order, those of equal value in input order,
    and cut. Lists of numbers count by their mean. A pool's lines are the data set's, byte for byte,
    in the order of the statistic; random pools are in input order.

    Outputs:
        paths: All pools: statistic by statistic, ascending, then the random ones;
            ``<base>_<statistic>_<part>.jsonl``, where three parts are ``low``, ``middle`` and
            ``high`` and any other number of them is numbered from 0, and ``<base>_random.jsonl``
            (``<base>_random_0.jsonl``, … where there are several).
        names: Their names, ``<statistic>_<part>``, ``random``, ``random_0``, …
        groups: The statistic that each was split by, ``random`` for a control.
        pools: ``{statistic: {part: path}}``; random pools under ``random``, numbered from 0.
        left_out: Statistics that are not numeric.

    Args:
        dataset_path: The data set with statistics under ``__dj__stats__`` in every line.
        statistics: The statistics to split by; ``None`` takes all numeric ones.
        split_ratios: Where to cut, ascending in (0, 1): numbers or fractions such as ``"1/3"``.
            With N samples the cut is after ``floor(N * ratio)``.
        split_num: Samples per pool, in place of ``split_ratios``; the last pool may be smaller.
        ignore_stats: Statistics not to split by.
        equal_size: Cut every pool down, at random, to the size of the smallest.
        num_random: Number of random pools, each as large as the smallest pool.
        seed: Seed of all draws.

    Raises:
        ValueError: Ratios are not ascending in (0, 1), a line is malformed, a sample lacks a statistic
            or has NaN there, a statistic is unknown or not numeric, or a pool would be empty.
        FileNotFoundError: The data set is missing.

    Source: Data-Juicer Sandbox guide, DataPoolConstruction; equal sizes and random controls after
    arXiv 2407.11784, section 3.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths", "names", "groups", "pools", "left_out")

    def __init__(
        self,
        dataset_path: Path,
        statistics: Sequence[str] | None = None,
        split_ratios: Sequence[float | str] = ("1/3", "2/3"),
        split_num: int | None = None,
        ignore_stats: Sequence[str] = (),
        equal_size: bool = False,
        num_random: int = 0,
        seed: int = 42,
    ) -> None:
        for name, names in (("statistics", statistics), ("ignore_stats", ignore_stats)):
            if isinstance(names, str):
                raise ValueError(f"{name}: expected a list of names, got {names!r}")
        if split_num is not None and split_num < 1:
            raise ValueError(f"split_num: expected at least 1, got {split_num}")
        if num_random < 0:
            raise ValueError(f"num_random: expected at least 0, got {num_random}")
        self.dataset_path = dataset_path
        self.statistics = statistics
        self.ratios = _ratios(split_ratios)
        self.split_num = split_num
        self.ignore_stats = ignore_stats
        self.equal_size = equal_size
        self.num_random = num_random
        self.seed = seed

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the pools."""
        lines = read_lines(self.dataset_path)
        columns, left_out = self._columns(lines)
        bounds = self._bounds(len(lines))
        size = min(stop - start for start, stop in bounds)
        (base,) = base_names([self.dataset_path])
        names: list[str] = []
        pools: dict[str, dict[str, Path]] = {}
        for statistic, values in columns.items():
            order = sorted(range(len(lines)), key=values.__getitem__)
            pools[statistic] = {}
            for part, (start, stop) in zip(_parts(len(bounds)), bounds, strict=True):
                chosen = order[start:stop]
                if self.equal_size:
                    chosen = [chosen[position] for position in draw(len(chosen), size, self.seed)]
                name = f"{statistic}_{part}"
                names.append(name)
                path = output_dir / f"{base}_{name}.jsonl"
                pools[statistic][part] = write_lines(path, (lines[position] for position in chosen))
        for number in range(self.num_random):
            name = _RANDOM if self.num_random == 1 else f"{_RANDOM}_{number}"
            names.append(name)
            chosen = draw(len(lines), size, self.seed + number)
            path = write_lines(output_dir / f"{base}_{name}.jsonl", (lines[position] for position in chosen))
            pools.setdefault(_RANDOM, {})[str(number)] = path
        paths = [path for parts in pools.values() for path in parts.values()]
        groups = [group for group, parts in pools.items() for _ in parts]
        return {"paths": paths, "names": names, "groups": groups, "pools": pools, "left_out": left_out}

    def _columns(self, lines: list[bytes]) -> tuple[dict[str, list[float]], list[str]]:
        """The values of every numeric statistic wanted, and the names of those that are not numeric."""
        stats = [self._stats(line, number) for number, line in enumerate(lines, 1)]
        available = sorted({name for each in stats for name in each})
        wanted = [name for name in self.statistics or stats[0] if name not in self.ignore_stats]
        unknown = [name for name in (*wanted, *self.ignore_stats) if name not in available]
        if unknown:
            raise ValueError(
                f"{self.dataset_path}: no statistic {', '.join(unknown)}; available: {', '.join(available)}"
            )
        if self.statistics is None:
            wanted += [name for name in available if name not in wanted and name not in self.ignore_stats]
        columns, left_out = {}, []
        for name in wanted:
            present = next((each[name] for each in stats if each.get(name) is not None), None)
            if _is_numeric(present):
                columns[name] = [self._number(each, name, number) for number, each in enumerate(stats, 1)]
            else:
                left_out.append(name)
        if left_out and self.statistics is not None:
            raise ValueError(f"{self.dataset_path}: not numeric, cannot be split by: {', '.join(left_out)}")
        if left_out:
            _log.warning(
                "%s: statistics that are not numeric, left out: %s", self.dataset_path, ", ".join(left_out)
            )
        if not columns:
            raise ValueError(f"{self.dataset_path}: there is no numeric statistic to split by")
        return columns, left_out

    def _stats(self, line: bytes, number: int) -> dict[str, Any]:
        stats = parse(line, self.dataset_path, number).get(_STATS)
        if not isinstance(stats, dict):
            raise ValueError(
                f"{self.dataset_path}: sample {number} has no statistics under {_STATS!r}; "
                "analyse the data set first"
            )
        return stats

    def _number(self, stats: dict[str, Any], name: str, number: int) -> float:
        value = stats.get(name)
        if isinstance(value, list) and value and all(_is_numeric(each) for each in value):
            value = math.fsum(value) / len(value)
        if value is None or isinstance(value, list) or not _is_numeric(value) or math.isnan(value):
            raise ValueError(
                f"{self.dataset_path}: sample {number} lacks the statistic {name!r}: "
                f"expected a number or a list of numbers, got {stats.get(name)!r}; "
                f"leave it out with ignore_stats or analyse the data set again"
            )
        return float(value)

    def _bounds(self, num_samples: int) -> list[tuple[int, int]]:
        if self.split_num is not None:
            cuts = [*range(0, num_samples, self.split_num), num_samples]
        else:
            cuts = [0, *(math.floor(num_samples * ratio) for ratio in self.ratios), num_samples]
        bounds = list(itertools.pairwise(cuts))
        if any(start == stop for start, stop in bounds):
            raise ValueError(
                f"{self.dataset_path}: {num_samples} samples are too few for {len(bounds)} pools"
            )
        return bounds


def _ratios(ratios: Sequence[float | str]) -> list[Fraction]:
    # a float such as 0.3333333333333333 stands for the fraction that was meant
    try:
        exact = [Fraction(ratio).limit_denominator(1_000_000) for ratio in ratios]
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"split_ratios: expected numbers or fractions such as '1/3', got {ratios!r}"
        ) from error
    if not exact or not all(0 < ratio < 1 for ratio in exact) or exact != sorted(set(exact)):
        raise ValueError(f"split_ratios: expected ascending numbers between 0 and 1, got {ratios!r}")
    return exact


def _parts(num_parts: int) -> list[str]:
    return ["low", "middle", "high"] if num_parts == 3 else [str(number) for number in range(num_parts)]


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numeric(each) and not isinstance(each, list) for each in value)
    return isinstance(value, int | float) and not isinstance(value, bool)
