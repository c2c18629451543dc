"""The sweeper's options, checked and in the shapes in which they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from sandbox.components.problem import PlanError, Problem
from sandbox.components.values import value_problems
from sandbox.job import NonNegativeInt, PositiveFloat, PositiveInt, Workers
from sandbox.sweeper.config import OptunaAsyncConf
from sandbox.system.hardware import visible_gpus

Direction = Literal["minimize", "maximize"]

_ANNOTATIONS: Mapping[str, Any] = {
    "pruner": Mapping[str, Any],
    "direction": Direction | Annotated[Sequence[Direction], MinLen(1)],
    "n_trials": PositiveInt,
    "n_workers": Workers,
    "gpus_per_worker": NonNegativeInt,
    "zip": Sequence[Sequence[str]] | None,
    "repeat": Workers | Annotated[Sequence[int], MinLen(1)],
    "repeat_argument": str | Sequence[str],
    "prune_direction": Direction | None,
    "max_failures": NonNegativeInt,
    "timeout_min": PositiveFloat | None,
}


def option_problem(option: str, text: str, hint: str = "") -> Problem:
    """Return a problem of one of the sweeper's options."""
    return Problem(f"hydra.sweeper.{option}", "sweep", text, hint)


@dataclass(frozen=True)
class Settings:
    """The sweeper's options in the shapes in which they are used; see ``OptunaAsyncConf``.

    Args:
        directions: One for each objective.
        seeds: Seeds that each point is run with; empty without ``repeat``.
        seed_arguments: Arguments that take the seed.
        prune_on: Metric that the pruner judges by; ``None`` without a pruner.
        is_mirrored: True if that metric is best where the objective is worst.
        gpus: GPUs of each slot; empty leaves them alone.
        is_grid: True if the sampler walks a grid, of which no point is tried twice.
        custom_search_space: Takes a trial and suggests more of its parameters.
    """

    n_trials: int
    n_workers: int
    directions: tuple[Direction, ...]
    seeds: tuple[int, ...]
    seed_arguments: tuple[str, ...]
    prune_on: str | None
    is_mirrored: bool
    max_failures: int
    timeout_min: float | None
    gpus: tuple[tuple[str, ...], ...] = ()
    is_grid: bool = False
    custom_search_space: Callable[[Any], None] | None = None

    def judged(self, value: float) -> float:
        """Return a value of the pruner's metric, in the objective's direction."""
        return -value if self.is_mirrored else value

    def seed_overrides(self, seed: int | None) -> list[str]:
        """Return the overrides that give a run its seed."""
        return [] if seed is None else [f"{name}={seed}" for name in self.seed_arguments]


def read_settings(options: OptunaAsyncConf) -> Settings:
    """Check the sweeper's options.

    Raises:
        PlanError: With every problem.
    """
    problems: list[Problem] = []
    for name, annotation in _ANNOTATIONS.items():
        problems += value_problems(getattr(options, name), annotation, f"hydra.sweeper.{name}")
    if problems:  # the rules below read the options
        raise PlanError(problems)
    directions: Any = tuple(_listed(options.direction))
    problems = [*_rule_problems(options), *_pruner_problems(options, len(directions))]
    if problems:
        raise PlanError(problems)
    is_one_run = options.repeat == 1
    return Settings(
        n_trials=options.n_trials,
        n_workers=options.n_workers,
        directions=directions,
        seeds=() if is_one_run else tuple(_seeds(options)),
        seed_arguments=tuple(_listed(options.repeat_argument)),
        prune_on=options.prune_on if _pruner_name(options) != "NopPruner" else None,
        is_mirrored=options.prune_direction not in (None, directions[0]),
        max_failures=options.max_failures,
        timeout_min=options.timeout_min,
        gpus=_shares(options.gpus_per_worker, options.n_workers),
    )


def _rule_problems(options: OptunaAsyncConf) -> Iterator[Problem]:
    """Yield mistakes that an annotation cannot describe."""
    num_wanted = options.n_workers * options.gpus_per_worker
    gpus = visible_gpus() if num_wanted else []
    if num_wanted > len(gpus):
        text = (
            f"{options.n_workers} workers with {options.gpus_per_worker} each need {num_wanted}"
            f" GPUs, there are {len(gpus)}: {', '.join(gpus) or 'none'}"
        )
        yield option_problem("gpus_per_worker", text)
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", str(options.study_name)):
        text = f"expected letters, digits, . _ and -, given {options.study_name!r}"
        yield option_problem("study_name", text)
    seeds = _seeds(options)
    if len(set(seeds)) < len(seeds):
        yield option_problem("repeat", f"a seed is listed twice: {seeds}")


def _pruner_problems(options: OptunaAsyncConf, num_objectives: int) -> Iterator[Problem]:
    name = _pruner_name(options)
    if not name:
        text = f"expected an option of the group hydra/sweeper/pruner, given {options.pruner!r}"
        yield option_problem("pruner", text)
    elif name == "NopPruner":
        if options.prune_on is not None:
            text = f"{options.prune_on} is given, but no hydra/sweeper/pruner"
            yield option_problem("prune_on", text)
    else:
        if num_objectives > 1:
            text = f"{name} judges by one objective, and there are {num_objectives}"
            yield option_problem("pruner", text)
        if options.prune_on is None:
            text = f"{name} needs the name of a metric in metrics.jsonl, such as train.eval_loss"
            yield option_problem("prune_on", text)


def _pruner_name(options: OptunaAsyncConf) -> str:
    return str(options.pruner.get("_target_", "")).rpartition(".")[2]


def _seeds(options: OptunaAsyncConf) -> list[int]:
    return list(range(options.repeat) if isinstance(options.repeat, int) else options.repeat)


def _shares(gpus_per_worker: int, n_workers: int) -> tuple[tuple[str, ...], ...]:
    if not gpus_per_worker:
        return ()
    gpus, each = visible_gpus(), gpus_per_worker
    return tuple(tuple(gpus[number * each : (number + 1) * each]) for number in range(n_workers))


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
