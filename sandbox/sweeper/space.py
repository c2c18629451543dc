"""The search space: which arguments a sweep varies, and the overrides that a point of it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.planning.wording import near

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


Zipped = dict[str, tuple[tuple[str, ...], dict[str, tuple[Any, ...]]]]
"""By the parameter that stands for several keys: those keys, and by choice their values."""


@dataclass(frozen=True)
class SearchSpace:
    """What is varied, and what is not.

    Args:
        distributions: By parameter: a key as the command line has it, or several that move together.
        fixed: Overrides that every trial gets.
        zipped: Which of them are several.
    """

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]
    zipped: Zipped

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides that a trial's parameters stand for."""
        found: list[str] = []
        for name, value in params.items():
            if name in self.zipped:
                keys, rows = self.zipped[name]
                found += [f"{key}={item}" for key, item in zip(keys, rows[value], strict=True)]
            else:
                found.append(f"{name}={value}")
        return found

    def corners(self) -> list[dict[str, Any]]:
        """Two points: every parameter's first or lowest value, and every one's last or highest."""
        ends = {name: _ends(distribution) for name, distribution in self.distributions.items()}
        return [{name: pair[index] for name, pair in ends.items()} for index in (0, 1)]

    def grid(self) -> dict[str, list[Any]]:
        """All values by parameter.

        Raises:
            ValueError: A parameter has infinitely many.
        """
        found = {}
        for name, distribution in self.distributions.items():
            try:
                found[name] = choices(distribution)
            except ValueError as error:
                raise ValueError(
                    f"hydra/sweeper/sampler: a grid needs single values, and {name} is an interval"
                ) from error
        return found


def read_space(params: Mapping[str, Any], arguments: Sequence[str], zipped: Any) -> SearchSpace:
    """Read a search space; what the command line says counts more than ``params``.

    Raises:
        ValueError: With every problem, one a line.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    problems: list[str] = []
    texts = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    for text in [*texts, *arguments]:
        try:
            varied, constant, deletions = create_params_from_overrides([text])
        except ValueError as error:
            problems.append(f"search space: {text}: {error}")
            continue
        for name in (*varied, *constant):
            distributions.pop(name, None)
            fixed.pop(name, None)
        distributions |= varied
        fixed |= {name: f"{name}={value}" for name, value in constant.items()}
        fixed |= {line: line for line in deletions}
    groups, found = _zip(distributions, zipped)
    if problems or found:
        raise ValueError("\n".join([*problems, *found]))
    return SearchSpace(distributions, tuple(fixed.values()), groups)


def choices(distribution: BaseDistribution) -> list[Any]:
    """All values of a distribution.

    Raises:
        ValueError: It is an interval of real numbers.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


def _zip(distributions: dict[str, BaseDistribution], groups: Any) -> tuple[Zipped, list[str]]:
    """Replace, in ``distributions``, each group of keys by one parameter; returns them and the problems."""
    from optuna.distributions import CategoricalDistribution

    if not isinstance(groups or [], list) or not all(
        isinstance(group, list) for group in groups or []
    ):
        return {}, [f"hydra.sweeper.zip: expected lists of keys, [[a,b],[c,d]], given {groups!r}"]
    found: Zipped = {}
    problems: list[str] = []
    for group in groups or []:
        keys = tuple(map(str, group))
        unknown = [key for key in keys if key not in distributions]
        problems += [
            f"hydra.sweeper.zip: {key} is not swept{near(key, distributions)}" for key in unknown
        ]
        if unknown:
            continue
        try:
            columns = [choices(distributions[key]) for key in keys]
        except ValueError:
            problems.append(
                f"hydra.sweeper.zip: {', '.join(keys)} must be lists of values, not intervals"
            )
            continue
        if len({len(column) for column in columns}) > 1:
            lengths = ", ".join(
                f"{key} has {len(column)}" for key, column in zip(keys, columns, strict=True)
            )
            problems.append(f"hydra.sweeper.zip: as many values of each are needed: {lengths}")
            continue
        rows = {" | ".join(map(str, row)): row for row in zip(*columns, strict=True)}
        name = " | ".join(keys)
        for key in keys:
            del distributions[key]
        distributions[name] = CategoricalDistribution([*rows])
        found[name] = (keys, rows)
    return found, problems


def _ends(distribution: Any) -> tuple[Any, Any]:
    if hasattr(distribution, "choices"):
        return distribution.choices[0], distribution.choices[-1]
    return distribution.low, distribution.high
