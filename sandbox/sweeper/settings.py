"""What the sweeper was told, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.compute.local import visible_gpus

DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Settings:
    """The sweeper's options in the shapes that they are used in; see ``OptunaAsyncConf``.

    Args:
        n_trials: Trials that the study shall have in all.
        n_workers: Runs at a time.
        directions: One for each objective.
        seeds: Seeds that each point is run with; empty without ``repeat``.
        seed_arguments: Arguments that take the seed.
        prune_on: The metric that a pruner judges by; ``None`` prunes nothing.
        is_mirrored: Whether that metric is best where the objective is worst.
        max_failures: Trials that may fail.
        timeout_min: Minutes that a trial may run.
        lost_after_s: Seconds without a sign of life.
        gpus: The GPUs of each slot; empty leaves them alone.
        is_grid: Whether the sampler walks a grid, of which no point is tried twice.
        custom_search_space: Takes a trial and suggests more of its parameters.
    """

    n_trials: int
    n_workers: int
    directions: tuple[str, ...]
    seeds: tuple[int, ...]
    seed_arguments: tuple[str, ...]
    prune_on: str | None
    is_mirrored: bool
    max_failures: int
    timeout_min: float | None
    lost_after_s: float
    gpus: tuple[tuple[str, ...], ...] = ()
    is_grid: bool = False
    custom_search_space: Callable[[Any], None] | None = None

    def judged(self, value: float) -> float:
        """A value of the pruner's metric, in the objective's direction."""
        return -value if self.is_mirrored else value

    def seed_overrides(self, seed: int | None) -> list[str]:
        """The overrides that give a run its seed."""
        return [] if seed is None else [f"{name}={seed}" for name in self.seed_arguments]


def read_settings(options: Mapping[str, Any]) -> Settings:
    """Check the sweeper's options.

    Raises:
        ValueError: With every problem, one a line.
    """
    directions = tuple(map(str, _listed(options["direction"])))
    problems = [*_problems(options, directions)]
    if problems:
        raise ValueError("\n".join(f"hydra.sweeper.{problem}" for problem in problems))
    repeat = options["repeat"]
    seeds = tuple(range(repeat)) if isinstance(repeat, int) else tuple(repeat)
    has_pruner = not str(options["pruner"].get("_target_")).endswith("NopPruner")
    return Settings(
        n_trials=options["n_trials"],
        n_workers=options["n_workers"],
        directions=directions,
        seeds=seeds if len(seeds) > 1 or not isinstance(repeat, int) else (),
        seed_arguments=tuple(map(str, _listed(options["repeat_argument"]))),
        prune_on=options["prune_on"] if has_pruner else None,
        is_mirrored=options["prune_direction"] not in (None, directions[0]),
        max_failures=options["max_failures"],
        timeout_min=options["timeout_min"],
        lost_after_s=options["lost_after_s"],
        gpus=_dealt(options["gpus_per_worker"], options["n_workers"]),
    )


def _problems(options: Mapping[str, Any], directions: Sequence[str]) -> Iterator[str]:
    for name, least in (
        ("n_trials", 1),
        ("n_workers", 1),
        ("max_failures", 0),
        ("gpus_per_worker", 0),
    ):
        if options[name] < least:
            yield f"{name}: must be at least {least}, given {options[name]}"
    wanted = options["n_workers"] * options["gpus_per_worker"]
    if wanted > 0 and wanted > len(gpus := visible_gpus()):
        yield (
            f"gpus_per_worker: {options['n_workers']} workers with {options['gpus_per_worker']} each need "
            f"{wanted} GPUs, there are {len(gpus)}: {', '.join(gpus) or 'none'}"
        )
    for name in ("timeout_min", "lost_after_s"):
        if options[name] is not None and options[name] <= 0:
            yield f"{name}: must be positive, given {options[name]}"
    for direction in (*directions, *_listed(options["prune_direction"])):
        if direction not in DIRECTIONS:
            yield f"direction: expected {' or '.join(DIRECTIONS)}, given {direction!r}"
    if not directions:
        yield "direction: is empty"
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", str(options["study_name"])):
        yield f"study_name: expected letters, digits, . _ and -, given {options['study_name']!r}"
    repeat = options["repeat"]
    seeds = list(range(repeat)) if isinstance(repeat, int) else repeat
    if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        yield f"repeat: expected how many seeds, or a list of them, given {repeat!r}"
    elif len(set(seeds)) < len(seeds):
        yield f"repeat: a seed stands there twice: {seeds}"
    yield from _pruner_problems(options, directions)


def _dealt(gpus_per_worker: int, n_workers: int) -> tuple[tuple[str, ...], ...]:
    if gpus_per_worker == 0:
        return ()
    gpus, each = visible_gpus(), gpus_per_worker
    return tuple(tuple(gpus[number * each : (number + 1) * each]) for number in range(n_workers))


def _pruner_problems(options: Mapping[str, Any], directions: Sequence[str]) -> Iterator[str]:
    pruner = options["pruner"]
    if not isinstance(pruner, Mapping) or "_target_" not in pruner:
        yield f"pruner: expected an option of the group hydra/sweeper/pruner, given {pruner!r}"
        return
    name = str(pruner["_target_"]).rpartition(".")[2]
    if name == "NopPruner":
        if options["prune_on"] is not None:
            yield f"prune_on: {options['prune_on']} is given, but no hydra/sweeper/pruner"
        return
    if len(directions) > 1:
        yield f"pruner: {name} judges by one objective, and there are {len(directions)}"
    if options["prune_on"] is None:
        yield f"prune_on: {name} needs the name of a metric in metrics.jsonl, such as train.eval_loss"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
