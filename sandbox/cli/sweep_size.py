"""Size of a sweep, found before Hydra builds the list of its trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

from sandbox.components.problem import Problem
from sandbox.components.values import value_problems
from sandbox.job import Workers

MOST_TRIALS = 100_000
"""Trials of a sweep whose points are listed one by one."""

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def size_problems(hydra: Mapping[str, Any], is_multirun: bool) -> Iterator[Problem]:
    """Yield what a sweep has too much of: trials that are listed, or processes at a time.

    Args:
        hydra: The ``hydra`` node as plain data, with ``overrides``.
        is_multirun: True if a sweep was asked for.
    """
    if not is_multirun:
        return
    for part in ("launcher", "sweeper"):
        jobs = (hydra.get(part) or {}).get("n_jobs")
        if jobs is not None and jobs != -1:  # joblib's sign for one a core
            yield from value_problems(jobs, Workers, f"hydra.{part}.n_jobs")
    sweeper = hydra.get("sweeper") or {}
    sampler = sweeper.get("sampler") or {}
    if sweeper.get("_target_") != _GRID and "GridSampler" not in str(sampler.get("_target_")):
        return  # other samplers draw points, as many as they are asked for
    given = [*map(str, hydra["overrides"]["task"])]
    sizes = _sizes([*(f"{key}={value}" for key, value in _params(sweeper)), *given])
    number = math.prod(sizes.values())
    if number > MOST_TRIALS:
        shown = ", ".join(f"{key} has {size:,}" for key, size in sizes.items() if size > 1)
        text = f"a grid of {number:,} trials ({shown}), expected at most {MOST_TRIALS:,}"
        hint = "another sampler draws as many points as it is asked for: hydra/sweeper=optuna_async"
        yield Problem("hydra.sweeper", "sweep", text, hint)


def _params(sweeper: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    params = sweeper.get("params")
    if isinstance(params, Mapping):
        yield from params.items()


def _sizes(texts: list[str]) -> dict[str, int]:
    """Return the number of values by key; the last override of a key counts."""
    found = {}
    parser = OverridesParser.create()
    for text in texts:
        try:
            (override,) = parser.parse_overrides([text])
        except (HydraException, ValueError):  # the sweeper itself reports it
            continue
        found[str(override.key_or_group)] = _size(override)
    return found


def _size(override: Override) -> int:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None:
        start, stop, step = (float(each) for each in (value.start, value.stop, value.step or 1))
        return max(0, math.ceil((stop - start) / step))
    return 1
