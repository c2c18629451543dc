"""The search space: the arguments that a sweep varies, and the overrides of each point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.components.problem import PlanError, Problem
from sandbox.sweeper.options import option_problem
from sandbox.system.wording import did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


_MOST_VALUES = 100_000

Zipped = dict[str, tuple[tuple[str, ...], dict[str, tuple[Any, ...]]]]
"""For each parameter that stands for several keys: these keys, and their values by choice."""


@dataclass(frozen=True)
class SearchSpace:
    """The arguments that a sweep varies, and those that it does not.

    Args:
        distributions: By parameter: a key of the command line, or several that move together.
        fixed: Overrides that every trial gets.
        zipped: The parameters that stand for several keys.
    """

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]
    zipped: Zipped

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides that a trial's parameters stand for."""
        found: list[str] = []
        for name, value in params.items():
            if name in self.zipped:
                keys, rows = self.zipped[name]
                found += [f"{key}={item}" for key, item in zip(keys, rows[value], strict=True)]
            else:
                found.append(f"{name}={value}")
        return found

    def corners(self) -> list[dict[str, Any]]:
        """Return two points: every parameter's first or lowest value, and its last or highest."""
        ends = {name: _ends(distribution) for name, distribution in self.distributions.items()}
        return [{name: pair[index] for name, pair in ends.items()} for index in (0, 1)]

    def grid(self) -> dict[str, list[Any]]:
        """Return all values by parameter.

        Raises:
            PlanError: A parameter has infinitely many.
        """
        found = {}
        for name, distribution in self.distributions.items():
            try:
                found[name] = choices(distribution)
            except ValueError as error:
                text = f"a grid needs a list of values, and {name} is an interval or a long range"
                raise PlanError([option_problem("sampler", text)]) from error
        return found


def read_space(
    params: Mapping[str, Any], arguments: Sequence[str], zipped: Sequence[Sequence[str]]
) -> SearchSpace:
    """Read a search space.

    Args:
        params: Search space by key, from a config.
        arguments: Overrides of the command line, which replace entries of ``params``.
        zipped: Groups of keys whose values move together.

    Raises:
        PlanError: With every problem.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    problems: list[Problem] = []
    texts = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    for text in [*texts, *arguments]:
        try:
            varied, constant, deletions = create_params_from_overrides([text])
        except ValueError as error:
            problems.append(Problem("search space", "sweep", f"{text}: {error}"))
            continue
        for name in (*varied, *constant):
            distributions.pop(name, None)
            fixed.pop(name, None)
        distributions |= varied
        fixed |= {name: f"{name}={value}" for name, value in constant.items()}
        fixed |= {line: line for line in deletions}
    groups = [tuple(group) for group in zipped]
    for group in groups:
        problems += _group_problems(group, distributions)
    if problems:
        raise PlanError(problems)
    return SearchSpace(distributions, tuple(fixed.values()), _zip(distributions, groups))


def choices(distribution: Any) -> list[Any]:
    """Return all values of a distribution.

    Raises:
        ValueError: It is an interval of real numbers, or has too many values to list.
    """
    step = getattr(distribution, "step", None)
    if step and (distribution.high - distribution.low) / step >= _MOST_VALUES:
        raise ValueError(f"it has more than {_MOST_VALUES:,} values")
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


def _group_problems(
    keys: Sequence[str], distributions: Mapping[str, BaseDistribution]
) -> Iterator[Problem]:
    unknown = [key for key in keys if key not in distributions]
    for key in unknown:
        yield option_problem("zip", f"{key} is not swept", did_you_mean(key, distributions))
    if unknown:
        return
    try:
        lengths = {key: len(choices(distributions[key])) for key in keys}
    except ValueError:
        text = f"{', '.join(keys)} must be lists of values, not intervals or long ranges"
        yield option_problem("zip", text)
        return
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        yield option_problem("zip", f"as many values of each are needed: {given}")


def _zip(distributions: dict[str, BaseDistribution], groups: Sequence[tuple[str, ...]]) -> Zipped:
    """Replace each group of keys in ``distributions`` by one parameter, and return these."""
    from optuna.distributions import CategoricalDistribution

    found: Zipped = {}
    for keys in groups:
        columns = [choices(distributions.pop(key)) for key in keys]
        rows = {" | ".join(map(str, row)): row for row in zip(*columns, strict=True)}
        name = " | ".join(keys)
        distributions[name] = CategoricalDistribution([*rows])
        found[name] = (keys, rows)
    return found


def _ends(distribution: Any) -> tuple[Any, Any]:
    if hasattr(distribution, "choices"):
        return distribution.choices[0], distribution.choices[-1]
    return distribution.low, distribution.high
