"""From a composed config to ordered, checked jobs: every problem at once, and nothing runs."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.checks import SECRET_RULE, all_found, literal_secrets
from sandbox.job import JobSpec
from sandbox.planning.job_config import first_element, job_spec
from sandbox.planning.objective import Scalar, Target
from sandbox.planning.references import Reference, available, references
from sandbox.planning.settings import component_problems, key_problems, shape_problems, texts
from sandbox.planning.wording import near

log = logging.getLogger(__name__)

JOB_LISTS = ("probe_jobs", "refine_recipe_jobs", "execution_jobs", "evaluation_jobs")


class PlanError(ValueError):
    """The experiment cannot run as written; the message lists every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            list(problems)
        )  # as given: an error is built again from it in another process
        self.problems = list(problems)
        self.has_literal_secret = any(SECRET_RULE in problem for problem in problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True)
class Plan:
    """A checked experiment.

    Args:
        jobs: In running order.
        objective: The scalars that the run returns, one or several.
        targets: When iterations stop.
        any_target: Whether one met target is enough; else all must be met.
    """

    jobs: tuple[JobSpec, ...]
    objective: tuple[Scalar, ...]
    targets: tuple[Target, ...]
    any_target: bool

    def lower_is_better(self, scalar: Scalar) -> tuple[str, ...]:
        """Outputs of the job that ``scalar`` reads of which the smallest is the best."""
        return next(spec.lower_is_better for spec in self.jobs if spec.name == scalar.reference.job)


def plan(cfg: DictConfig, allowed: Sequence[str]) -> Plan:
    """Order the jobs of all pipelines and check them together.

    Args:
        cfg: The composed config.
        allowed: Patterns of allowed targets.

    Raises:
        PlanError: With every problem found.
    """
    unreadable = [*shape_problems(cfg)]
    if unreadable:  # nothing else can be read without them
        raise PlanError([*_secrets(cfg, allowed), *unreadable])
    order, problems = _order(cfg)
    problems += key_problems(cfg)
    if not cfg.pipelines:
        problems.append(
            "no pipelines: choose an experiment with +experiment=NAME; `python -m sandbox` lists them"
        )
    listed = {name for _, _, name in order}
    jobs: Any = OmegaConf.to_container(cfg.jobs, resolve=False)
    unlisted = {str(name): node for name, node in jobs.items()}
    spare = [name for name in unlisted if name not in listed]
    if spare:
        names = ", ".join(f"jobs.{name}" for name in spare)
        log.warning(
            "%s %s in no job list and will not run", names, "are" if len(spare) > 1 else "is"
        )
    for name in spare:
        problems += literal_secrets(unlisted[name], f"jobs.{name}", allowed)
    specs: list[JobSpec] = []
    for pipeline, job_list, name in order:
        spec, found = job_spec(cfg, (pipeline, job_list), name, allowed)
        problems += found
        if spec is not None:
            specs.append(spec)
    problems += [
        text for name in ("watcher", "compute") for text in component_problems(cfg, name, allowed)
    ]
    clear = {s.name for s in specs if all_found(first_element(s.config, s.map), allowed)}
    broken = {name for _, _, name in order} - clear
    problems += _dangling(specs, broken)
    problems += _iterations(cfg, specs)
    objective, targets, any_target, found = _scalars(cfg, specs, broken)
    problems += found
    unknown = sorted(
        set(texts(cfg.force)) - {spec.name for spec in specs} - {name for _, _, name in order}
    )
    problems += [f"force: no job named {name!r}{near(name, cfg.jobs)}" for name in unknown]
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
    return Plan(tuple(specs), objective, targets, any_target)


def _secrets(cfg: DictConfig, allowed: Sequence[str]) -> Iterator[str]:
    """Secrets given as literals, anywhere: they are scrubbed however wrong the rest is."""
    for key in cfg:
        with contextlib.suppress(OmegaConfBaseException):
            node = cfg[key]
            raw = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else None
            yield from literal_secrets(raw, str(key), allowed)


def _order(cfg: DictConfig) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(pipeline, job list, job) in running order, and what is wrong with the job lists."""
    order, problems, seen = [], [], set()
    for pipeline, lists in cfg.pipelines.items():
        if not isinstance(lists, DictConfig):
            problems.append(f"pipelines.{pipeline}: expected job lists, given {lists!r}")
            continue
        for key in set(lists) - set(JOB_LISTS):
            problems.append(
                f"pipelines.{pipeline}.{key}: not a job list; there are: {', '.join(JOB_LISTS)}"
            )
        for job_list in JOB_LISTS:
            where = f"pipelines.{pipeline}.{job_list}"
            names = lists.get(job_list) or []
            if not isinstance(names, (list, ListConfig)):
                problems.append(f"{where}: expected a list of job names, given {names!r}")
                continue
            for name in names:
                if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
                    problems.append(
                        f"{where}: a job's name is one word of letters, digits and _, given {name!r}"
                    )
                    continue
                if name not in cfg.jobs:
                    problems.append(f"{where}: no job named {name!r}{near(name, cfg.jobs)}")
                elif name in seen:
                    problems.append(
                        f"{where}: job {name!r} is listed twice; a second job needs a name of its own"
                    )
                else:
                    order.append((pipeline, job_list, name))
                seen.add(name)
    return order, problems


def _dangling(specs: Sequence[JobSpec], broken: set[str]) -> Iterator[str]:
    """References to outputs that no earlier job (``output``) or no job at all (``previous``) makes.

    Nothing is said of those of ``broken`` jobs, whose outputs are not known.
    """
    earlier: dict[str, tuple[str, ...]] = {}
    everything = {spec.name: spec.outputs for spec in specs}
    for spec in specs:
        for reference in references([spec.config, spec.map]):
            made = everything if reference.previous else earlier
            if reference.job in broken or _is_made(reference, made):
                continue
            which = "no job" if reference.previous else "no earlier job"
            later = (
                f": {reference.job} runs later" if reference.job in {*everything} - {*made} else ""
            )
            yield f"jobs.{spec.name}: {reference} is produced by {which}{later}{available(reference, made)}"
        earlier[spec.name] = spec.outputs


def _is_made(reference: Reference, made: Mapping[str, Sequence[str]]) -> bool:
    return bool(reference.keys) and reference.keys[0] in made.get(reference.job, ())


def _iterations(cfg: DictConfig, specs: Sequence[JobSpec]) -> Iterator[str]:
    if not isinstance(cfg.max_iterations, int) or cfg.max_iterations < 1:
        yield f"max_iterations: expected a positive number, given {cfg.max_iterations!r}"
        return
    reads = any(
        reference.previous for spec in specs for reference in references([spec.config, spec.map])
    )
    if cfg.max_iterations > 1 and specs and not reads:
        yield (
            f"max_iterations is {cfg.max_iterations}, but no job reads ${{previous:…}}: "
            "every iteration would be the first again"
        )


def _scalars(
    cfg: DictConfig, specs: Sequence[JobSpec], broken: set[str]
) -> tuple[tuple[Scalar, ...], tuple[Target, ...], bool, list[str]]:
    """The objective and the targets, and what is wrong with them."""
    problems: list[str] = []
    by_name = {spec.name: spec for spec in specs}
    made = {spec.name: spec.outputs for spec in specs}
    objective, targets = [], []
    for text in texts(cfg.objective):
        try:
            objective.append(Scalar.parse(text))
        except ValueError as error:
            problems.append(f"objective: {error}")
    given = (
        OmegaConf.to_container(cfg.targets, resolve=True)
        if OmegaConf.is_config(cfg.targets)
        else cfg.targets
    )
    any_target = isinstance(given, dict) and "any" in given
    if isinstance(given, dict) and (len(given) != 1 or not set(given) <= {"all", "any"}):
        problems.append(
            f"targets: expected a list, or one of `all:` and `any:` with a list, given {given!r}"
        )
        given = []
    for text in texts(next(iter(given.values())) if isinstance(given, dict) and given else given):
        try:
            targets.append(Target.parse(text))
        except ValueError as error:
            problems.append(f"targets: {error}")
    scalars = [("objective", scalar) for scalar in objective] + [
        ("targets", target.scalar) for target in targets
    ]
    for where, scalar in scalars:
        job = scalar.reference.job
        if job not in broken and not _is_made(scalar.reference, made):
            hint = available(scalar.reference, made)
            problems.append(f"{where}: {scalar.text} is produced by no job{hint}")
        elif job not in broken and (misfit := scalar.misfit(by_name[job])):
            problems.append(f"{where}: {misfit}")
    return tuple(objective), tuple(targets), any_target, problems
