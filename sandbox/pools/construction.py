"""Pools that differ in one statistic."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import MinLen

from sandbox.job import JobScope, NonNegativeInt, PositiveInt, rule
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, check_packages
from sandbox.samples import base_name, format_of

if TYPE_CHECKING:
    from sandbox.pools.lines import Lines, Rows
    from sandbox.pools.table import Table

_RANDOM = "random"
_IN_ORDER = "ignore_stats"
_log = logging.getLogger(__name__)

_Ranges = dict[str, list[float | None]]


@dataclass(frozen=True, kw_only=True)
class ConstructedPools:
    """Pools of one data set: statistic by statistic, ascending, then the random ones.

    Args:
        paths: ``<base>_<statistic>_<part>.jsonl``, where three parts are ``low``, ``middle`` and
            ``high`` and any other number of them is numbered from 0, and ``<base>_random.jsonl``
            (``<base>_random_0.jsonl``, … if there are several).
        names: Their names, ``<statistic>_<part>``, ``random``, ``random_0``, …
        groups: The statistic that each was split by, ``random`` for a control.
        pools: ``{statistic: {part: path}}``; random pools under ``random``, numbered from 0.
        sizes: Number of samples by pool, in the same structure.
        ranges: Smallest and largest value of a statistic in each part before ``equal_size`` draws
            from it, ``{statistic: {part: [low, high]}}``; ``None`` for NaN. The cut is between the
            largest value of one part and the smallest of the next, which may be equal.
        left_out: Statistics that are not numeric.
    """

    paths: list[Path]
    names: list[str]
    groups: list[str]
    pools: Mapping[str, Mapping[str, Path]]
    sizes: Mapping[str, Mapping[str, int]]
    ranges: Mapping[str, Mapping[str, list[float | None]]]
    left_out: list[str]


@dataclass(frozen=True, kw_only=True)
class DataPoolConstruction(BaseDataPoolManipulator):
    """Split a data set into pools along each of its statistics, with random pools as controls.

    For every statistic the samples are sorted in ascending order, NaN after all numbers, those of
    equal value in input order, and cut. Lists of numbers count by their mean. A pool's lines are
    the data set's, byte for byte, in the order of the statistic; random pools are in input order.

    Args:
        dataset_path: The data set; its statistics are under ``__dj__stats__`` in every sample, or
            else in Data-Juicer's separate file beside it (``<dataset>_stats.jsonl``).
        statistics: The statistics to split by; ``None`` takes all numeric ones.
        split_ratios: Where to cut, ascending in (0, 1): numbers or fractions such as ``"1/3"``.
            With N samples the cut is after ``floor(N * ratio + 1/2)``, as in the original.
        split_num: Samples per pool, in place of ``split_ratios``; the last pool may be smaller.
        ignore_stats: Statistics not to split by; ``True`` reads none and cuts the data set in its
            own order, into pools of the group ``ignore_stats``.
        equal_size: Cut every pool down, at random, to the size of the smallest.
        num_random: Number of random pools, each as large as the smallest pool.
        seed: Seed of all draws.
        stats_path: A file of statistics anywhere else, one line a sample in the same order.
        output_format: Format of the new pools; ``None`` is the data set's.

    Raises:
        SampleError: A line is malformed or a sample has no value of a statistic.
        ValueError: A statistic is unknown, not numeric, numeric in some samples only or no name for
            a file, ``stats_path`` has another number of samples, or a pool would be empty.
        FileNotFoundError: The data set is missing.

    Source: Data-Juicer Sandbox guide, DataPoolConstruction; equal sizes and random controls after
    arXiv 2407.11784, section 3.
    """

    VERSION: ClassVar[int] = 3

    dataset_path: Path
    statistics: Sequence[str] | None = None
    split_ratios: Annotated[Sequence[float | str], MinLen(1)] = ("1/3", "2/3")
    split_num: PositiveInt | None = None
    ignore_stats: Sequence[str] | bool = ()
    equal_size: bool = False
    num_random: NonNegativeInt = 0
    seed: int = 42
    stats_path: Path | None = None
    output_format: OutputFormat | None = None

    @rule
    def _ratios_ascend(split_ratios: Sequence[float | str]) -> None:
        exact = _ratios(split_ratios)
        if not all(0 < ratio < 1 for ratio in exact) or exact != sorted(set(exact)):
            raise ValueError(f"expected ascending numbers between 0 and 1, got {split_ratios!r}")

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> ConstructedPools:
        """Write the pools."""
        from sandbox.pools.opening import movable, open_pool
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        pool = open_pool(self.dataset_path, self.output_format, folder)
        bounds = self._bounds(len(pool))
        orders, ranges, left_out = self._orders(pool, folder, bounds)
        pool = movable(pool, folder)
        base = base_name(self.dataset_path)
        ending = self.output_format or format_of(self.dataset_path)
        new: list[NewPool] = []
        names, groups = [], []
        pools: dict[str, dict[str, Path]] = {}
        sizes: dict[str, dict[str, int]] = {}
        for group, part, name, rows in self._parts(len(pool), orders, bounds):
            names.append(name)
            groups.append(group)
            path = folder / f"{base}_{name}.{ending}"
            pools.setdefault(group, {})[part] = path
            sizes.setdefault(group, {})[part] = len(rows)
            new.append(NewPool(path, [(pool, rows)]))
        paths = write_pools(new)
        scope.watch({"sizes": sizes, "ranges": ranges})
        return ConstructedPools(
            paths=paths,
            names=names,
            groups=groups,
            pools=pools,
            sizes=sizes,
            ranges=ranges,
            left_out=left_out,
        )

    def _parts(
        self, num_samples: int, orders: Mapping[str, Rows], bounds: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[str, str, str, Rows]]:
        """Yield the group, the part, the name and the samples of every pool."""
        import numpy as np

        from sandbox.pools.sampling import draw

        size = min(stop - start for start, stop in bounds)
        for statistic, order in orders.items():
            for part, (start, stop) in zip(_part_names(len(bounds)), bounds, strict=True):
                rows = order[start:stop]
                if self.equal_size and size < len(rows):
                    rows = np.asarray(rows)[draw(len(rows), size, self.seed)]
                yield statistic, part, f"{statistic}_{part}", rows
        for number in range(self.num_random):
            name = _RANDOM if self.num_random == 1 else f"{_RANDOM}_{number}"
            yield _RANDOM, str(number), name, draw(num_samples, size, self.seed + number)

    def _orders(
        self, pool: Lines | Table, scratch_dir: Path, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, Rows], dict[str, _Ranges], list[str]]:
        """Order the samples by every statistic.

        Returns:
            The orders, the range of each part, and the statistics that are not numeric.
        """
        import numpy as np

        from sandbox.pools.opening import open_statistics
        from sandbox.pools.statistics import read_statistics

        if self.ignore_stats is True:
            return {_IN_ORDER: range(len(pool))}, {}, []
        source = open_statistics(pool, self.stats_path, scratch_dir)
        columns, left_out = read_statistics(source, self.statistics, self.ignore_stats or ())
        for name in columns:
            self._check_name(name, source.path)
        if left_out:
            names = ", ".join(left_out)
            _log.warning("%s: not numeric, left out: %s", source.path, names)
        narrow = np.uint32 if len(pool) < 1 << 32 else np.int64
        orders: dict[str, Rows] = {}
        # One by one, so that a column is freed before the next order is made.
        ranges: dict[str, _Ranges] = {}
        for name in list(columns):
            values = columns.pop(name)
            order = np.argsort(values, kind="stable").astype(narrow)
            orders[name] = order
            ranges[name] = {
                part: [_plain(values[order[start]]), _plain(values[order[stop - 1]])]
                for part, (start, stop) in zip(_part_names(len(bounds)), bounds, strict=True)
            }
        return orders, ranges, left_out

    def _check_name(self, statistic: str, source: Path) -> None:
        """Refuse a statistic that no pool can be named after."""
        problem = ""
        if not statistic or "/" in statistic or "\0" in statistic:
            problem = f"no file can be named after the statistic {statistic!r}"
        elif statistic == _RANDOM and self.num_random:
            problem = f"the statistic {_RANDOM!r} is named like the controls"
        if problem:
            raise ValueError(f"{source}: {problem}; leave it out with ignore_stats")

    def _bounds(self, num_samples: int) -> list[tuple[int, int]]:
        if self.split_num is not None:
            cuts = [*range(0, num_samples, self.split_num), num_samples]
        else:
            half = Fraction(1, 2)
            inner = (num_samples * ratio + half for ratio in _ratios(self.split_ratios))
            cuts = [0, *map(math.floor, inner), num_samples]
        bounds = list(itertools.pairwise(cuts))
        if any(start == stop for start, stop in bounds):
            raise ValueError(
                f"{self.dataset_path}: {num_samples} samples are too few for {len(bounds)} pools"
            )
        return bounds


def _ratios(ratios: Sequence[float | str]) -> list[Fraction]:
    try:
        # A float such as 0.3333333333333333 means the fraction 1/3.
        return [Fraction(ratio).limit_denominator(1_000_000) for ratio in ratios]
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"expected numbers or fractions such as '1/3', got {ratios!r}") from error


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _part_names(num_parts: int) -> list[str]:
    if num_parts == 3:
        return ["low", "middle", "high"]
    return [str(number) for number in range(num_parts)]
