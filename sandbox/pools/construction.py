"""Pools that differ in one statistic."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.lines import Lines, Rows
from sandbox.pools.opening import movable, open_pool
from sandbox.pools.pool_file import base_name, check_format, check_whole, format_of
from sandbox.pools.sampling import draw
from sandbox.pools.statistics import read_statistics
from sandbox.pools.table import Table
from sandbox.pools.writing import NewPool, prepare, write_pools

_RANDOM = "random"
_IN_ORDER = "ignore_stats"
_REMEDY = "leave it out with ignore_stats"
_log = logging.getLogger(__name__)


class DataPoolConstruction(BaseDataPoolManipulator):
    """Split a data set into pools along each of its statistics, with random pools as controls.

    For every statistic the samples are sorted in ascending order, NaN after all numbers, those of equal
    value in input order, and cut. Lists of numbers count by their mean. A pool's lines are the data
    set's, byte for byte, in the order of the statistic; random pools are in input order.

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
        dataset_path: The data set with statistics under ``__dj__stats__`` in every sample.
        statistics: The statistics to split by; ``None`` takes all numeric ones.
        split_ratios: Where to cut, ascending in (0, 1): numbers or fractions such as ``"1/3"``.
            With N samples the cut is after ``floor(N * ratio + 1/2)``, as in the original.
        split_num: Samples per pool, in place of ``split_ratios``; the last pool may be smaller.
        ignore_stats: Statistics not to split by; ``True`` looks at none and cuts the data set as it
            lies, into pools of the group ``ignore_stats``.
        equal_size: Cut every pool down, at random, to the size of the smallest.
        num_random: Number of random pools, each as large as the smallest pool.
        seed: Seed of all draws.
        stats_path: Data-Juicer's separate file of statistics (``…_stats.jsonl``), one line a sample in
            the same order; ``None`` reads them from the samples.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is the data set's.

    Raises:
        ValueError: Ratios are not ascending in (0, 1), a line is malformed, a sample lacks a statistic,
            a statistic is unknown, not numeric, numeric in some samples only or no name for a file,
            ``stats_path`` has another number of samples, or a pool would be empty.
        FileNotFoundError: The data set is missing.

    Source: Data-Juicer Sandbox guide, DataPoolConstruction; equal sizes and random controls after
    arXiv 2407.11784, section 3.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths", "names", "groups", "pools", "left_out")
    VERSION: ClassVar[int] = 2

    def __init__(
        self,
        dataset_path: Path,
        statistics: Sequence[str] | None = None,
        split_ratios: Sequence[float | str] = ("1/3", "2/3"),
        split_num: int | None = None,
        ignore_stats: Sequence[str] | bool = (),
        equal_size: bool = False,
        num_random: int = 0,
        seed: int = 42,
        stats_path: Path | None = None,
        output_format: str | None = None,
    ) -> None:
        for name, names in (("statistics", statistics), ("ignore_stats", ignore_stats)):
            if isinstance(names, str):
                raise ValueError(f"{name}: expected a list of names, got {names!r}")
        if split_num is not None:
            check_whole("split_num", split_num, least=1)
        check_whole("num_random", num_random, least=0)
        check_whole("seed", seed)
        check_format(output_format)
        self.dataset_path = dataset_path
        self.statistics = statistics
        self.ratios = _ratios(split_ratios)
        self.split_num = split_num
        self.ignore_stats = ignore_stats
        self.equal_size = equal_size
        self.num_random = num_random
        self.seed = seed
        self.stats_path = stats_path
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the pools."""
        prepare(output_dir)
        pool = open_pool(self.dataset_path, self.output_format, output_dir)
        bounds = self._bounds(len(pool))
        size = min(stop - start for start, stop in bounds)
        orders, left_out = self._orders(pool, output_dir)
        pool = movable(pool, output_dir)
        base, ending = (
            base_name(self.dataset_path),
            self.output_format or format_of(self.dataset_path),
        )
        new: list[NewPool] = []
        names: list[str] = []
        pools: dict[str, dict[str, Path]] = {}

        def add(group: str, part: str, name: str, rows: Rows) -> None:
            names.append(name)
            path = output_dir / f"{base}_{name}.{ending}"
            pools.setdefault(group, {})[part] = path
            new.append(NewPool(path, [(pool, rows)]))

        for statistic, order in orders.items():
            for part, (start, stop) in zip(_parts(len(bounds)), bounds, strict=True):
                rows = order[start:stop]
                if self.equal_size and size < len(rows):
                    rows = np.asarray(rows)[draw(len(rows), size, self.seed)]
                add(statistic, part, f"{statistic}_{part}", rows)
        for number in range(self.num_random):
            name = _RANDOM if self.num_random == 1 else f"{_RANDOM}_{number}"
            add(_RANDOM, str(number), name, draw(len(pool), size, self.seed + number))
        groups = [group for group, parts in pools.items() for _ in parts]
        paths = write_pools(new)
        return {
            "paths": paths,
            "names": names,
            "groups": groups,
            "pools": pools,
            "left_out": left_out,
        }

    def _orders(self, pool: Lines | Table, output_dir: Path) -> tuple[dict[str, Rows], list[str]]:
        """The order of the samples by every statistic, and the statistics that are not numeric."""
        if self.ignore_stats is True:
            return {_IN_ORDER: range(len(pool))}, []
        source = pool
        if self.stats_path is not None:
            source = open_pool(self.stats_path, None, output_dir)
            if len(source) != len(pool):
                raise ValueError(
                    f"{self.stats_path} has statistics of {len(source)} samples, "
                    f"but {self.dataset_path} has {len(pool)} samples"
                )
        columns, left_out = read_statistics(source, self.statistics, self.ignore_stats or ())
        for name in columns:
            self._check_name(name, source.name)
        if left_out:
            _log.warning(
                "%s: statistics that are not numeric, left out: %s",
                source.name,
                ", ".join(left_out),
            )
        narrow = np.uint32 if len(pool) < 1 << 32 else np.int64
        orders: dict[str, Rows] = {}
        for name in list(columns):  # one by one: a column goes before the next order comes
            orders[name] = np.argsort(columns.pop(name), kind="stable").astype(narrow)
        return orders, left_out

    def _check_name(self, statistic: str, source: str) -> None:
        """Pools are files named after their statistic."""
        if not statistic or "/" in statistic or "\0" in statistic:
            raise ValueError(
                f"{source}: no file can be named after the statistic {statistic!r}; {_REMEDY}"
            )
        if statistic == _RANDOM and self.num_random:
            raise ValueError(
                f"{source}: the statistic {_RANDOM!r} is named like the controls; {_REMEDY}"
            )

    def _bounds(self, num_samples: int) -> list[tuple[int, int]]:
        if self.split_num is not None:
            cuts = [*range(0, num_samples, self.split_num), num_samples]
        else:
            inner = [math.floor(num_samples * ratio + Fraction(1, 2)) for ratio in self.ratios]
            cuts = [0, *inner, num_samples]
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
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"split_ratios: expected numbers or fractions such as '1/3', got {ratios!r}"
        ) from error
    if not exact or not all(0 < ratio < 1 for ratio in exact) or exact != sorted(set(exact)):
        raise ValueError(
            f"split_ratios: expected ascending numbers between 0 and 1, got {ratios!r}"
        )
    return exact


def _parts(num_parts: int) -> list[str]:
    return (
        ["low", "middle", "high"]
        if num_parts == 3
        else [str(number) for number in range(num_parts)]
    )
