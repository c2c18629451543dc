"""From a composed config to ordered, checked jobs: every problem at once, and nothing runs."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.checks import all_found, literal_secrets
from sandbox.components.job_results import producer
from sandbox.components.problem import PlanError, Problem
from sandbox.components.signature import declares_results
from sandbox.components.values import shortened
from sandbox.compute import BaseCompute
from sandbox.job import JobSpec
from sandbox.planning.axes import with_axes
from sandbox.planning.job_config import component_problems, job_spec, resolved
from sandbox.planning.job_map import JobMap
from sandbox.planning.objective import Scalar, Target, read_scalars
from sandbox.planning.references import (
    Reference,
    available,
    is_made,
    placed_references,
    references,
)
from sandbox.planning.settings import (
    LONGEST_NAME,
    STRUCTURE,
    interpolation_problem,
    read_settings,
    texts,
    unknown_keys,
)
from sandbox.planning.shapes import shape_problems
from sandbox.system.wording import did_you_mean
from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)

JOB_LISTS = ("probe_jobs", "refine_recipe_jobs", "execution_jobs", "evaluation_jobs")

_FAMILIES = {"watcher": SandboxWatcher, "compute": BaseCompute}

Place = tuple[str, str, str]
"""Pipeline, job list and job."""


@dataclass(frozen=True)
class Plan:
    """A checked experiment.

    Args:
        jobs: In running order.
        objective: The scalars that the run returns, one or several.
        targets: When iterations stop.
        any_target: True if one met target is enough; else all must be met.
    """

    jobs: tuple[JobSpec, ...]
    objective: tuple[Scalar, ...]
    targets: tuple[Target, ...]
    any_target: bool

    def lower_is_better(self, scalar: Scalar) -> tuple[str, ...]:
        """Return the outputs of the scalar's job of which the smallest is the best."""
        jobs = {spec.name: spec for spec in self.jobs}
        return jobs[scalar.reference.job].lower_is_better


def plan(cfg: DictConfig, allowed: Sequence[str]) -> Plan:
    """Order the jobs of all pipelines and check them together.

    Args:
        cfg: The composed config.
        allowed: Patterns of allowed targets.

    Raises:
        PlanError: With every problem found.
    """
    settings, wrong = read_settings(cfg)
    if set(STRUCTURE) - settings.keys():
        raise PlanError([*_literal_secrets(cfg, allowed), *wrong])
    order, problems = _order(settings["pipelines"], settings["jobs"])
    problems += wrong
    unknown = [*unknown_keys(cfg)]
    problems += unknown
    if not settings["pipelines"] and "experiment" not in [problem.where for problem in unknown]:
        hint = "choose an experiment with +experiment=NAME; `python -m sandbox` lists them"
        problems.append(Problem("pipelines", "setting", "the config has no pipelines", hint))
    problems += _unlisted(cfg, order, allowed)
    specs, found = _specs(cfg, order, settings["cap"], allowed)
    problems += found
    problems += _frame_components(cfg, allowed)
    broken = _jobs_without_results(specs, order, allowed)
    problems += _dangling(specs, broken)
    problems += _iterations(settings.get("max_iterations"), specs)
    scalars = read_scalars(settings["objective"], settings["targets"], specs, broken)
    problems += scalars.problems
    problems += _forced(texts(settings["force"]), order)
    if problems:
        raise PlanError(problems)
    return Plan(tuple(specs), scalars.objective, scalars.targets, scalars.any_target)


def _literal_secrets(cfg: DictConfig, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield secrets given as literals, anywhere: they are scrubbed however wrong the rest is."""
    for key in cfg:
        with contextlib.suppress(OmegaConfBaseException):
            node = cfg[key]
            if OmegaConf.is_config(node):
                raw = OmegaConf.to_container(node, resolve=False)
                yield from literal_secrets(raw, str(key), allowed)


def _order(
    pipelines: Mapping[Any, Any], jobs: Collection[Any]
) -> tuple[list[Place], list[Problem]]:
    """Return pipeline, job list and job in running order, and what is wrong with the job lists."""
    order: list[Place] = []
    problems = []
    for pipeline, lists in pipelines.items():
        where = f"pipelines.{pipeline}"
        if not isinstance(lists, Mapping):
            text = f"expected job lists, given {shortened(lists)}"
            problems.append(Problem(where, "job_list", text))
            continue
        for key in set(lists) - set(JOB_LISTS):
            hint = f"available: {', '.join(JOB_LISTS)}"
            problems.append(Problem(f"{where}.{key}", "job_list", "is no job list", hint))
        for job_list in JOB_LISTS:
            names = lists.get(job_list) or []
            spot = f"{where}.{job_list}"
            if not isinstance(names, list):
                text = f"expected a list of job names, given {shortened(names)}"
                problems.append(Problem(spot, "job_list", text))
                continue
            for name in names:
                earlier = {job for _, _, job in order}
                wrong = _name_problem(name, jobs, earlier, spot)
                if wrong is None:
                    order.append((str(pipeline), job_list, name))
                else:
                    problems.append(wrong)
    return order, problems


def _name_problem(
    name: Any, jobs: Collection[Any], earlier: Collection[str], where: str
) -> Problem | None:
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
        text = f"a job's name is one word of letters, digits and _, given {shortened(name)}"
        return Problem(where, "job_list", text)
    if len(name.encode()) > LONGEST_NAME:
        text = f"a job's name has at most {LONGEST_NAME} bytes, given {shortened(name)}"
        return Problem(where, "job_list", text, "it names a folder of the store")
    if name not in jobs:
        return Problem(where, "job", f"there is no job {name!r}", did_you_mean(name, jobs))
    if name in earlier:
        text = f"job {name!r} is listed twice"
        return Problem(where, "job_list", text, "a second job needs a name of its own")
    return None


def _unlisted(cfg: DictConfig, order: Sequence[Place], allowed: Sequence[str]) -> Iterator[Problem]:
    """Warn of jobs in no job list; yield their literal secrets, which Hydra has written to disk."""
    jobs: Any = OmegaConf.to_container(cfg.jobs, resolve=False)
    listed = {name for _, _, name in order}
    spare = [str(name) for name in jobs if name not in listed]
    if spare:
        names = ", ".join(f"jobs.{name}" for name in spare)
        log.warning("in no job list, will not run: %s", names)
    for name in spare:
        node = jobs.get(name)
        yield from literal_secrets(node, f"jobs.{name}", allowed)


def _specs(
    cfg: DictConfig, order: Sequence[Place], cap: Mapping[str, Any], allowed: Sequence[str]
) -> tuple[list[JobSpec], list[Problem]]:
    specs: dict[str, JobSpec] = {}
    problems = []
    for pipeline, job_list, name in order:
        spec, found = job_spec(cfg, (pipeline, job_list), name, cap, allowed)
        problems += found
        if spec is not None:
            problems += shape_problems(spec, specs, allowed)
            specs[name], found = with_axes(spec, specs)
            problems += found
    return [*specs.values()], problems


def _frame_components(cfg: DictConfig, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the watcher and the compute."""
    for name, base in _FAMILIES.items():
        try:
            node = resolved(cfg, name, allowed) if name in cfg else None
        except OmegaConfBaseException as error:
            yield interpolation_problem(error, name)
            continue
        yield from component_problems(node, base, name, allowed)


def _jobs_without_results(
    specs: Sequence[JobSpec], order: Sequence[Place], allowed: Sequence[str]
) -> set[str]:
    """Return the jobs whose results are not known, because a class is missing."""
    clear = set()
    for spec in specs:
        first = JobMap(spec.map, spec.product).first_element(spec.config)
        cls = producer(first, allowed) if all_found(first, allowed) else None
        if cls is not None and declares_results(cls):
            clear.add(spec.name)
    return {name for _, _, name in order} - clear


def _dangling(specs: Sequence[JobSpec], broken: Collection[str]) -> Iterator[Problem]:
    """Yield references to outputs that no earlier job, or for ``previous`` no job at all, makes.

    References to outputs of ``broken`` jobs are passed over.
    """
    earlier: dict[str, tuple[str, ...]] = {}
    everything = {spec.name: spec.outputs for spec in specs}
    for spec in specs:
        for place, reference in placed_references({**spec.config, "map": spec.map}):
            made = everything if reference.previous else earlier
            if reference.job not in broken and not is_made(reference, made):
                which = "no job" if reference.previous else "no earlier job"
                text = f"{reference} is produced by {which}"
                if reference.job == spec.name and not reference.previous:
                    text = f"{reference} is an output of the job itself"
                elif reference.job in made and not reference.keys:
                    text = f"{reference} names no output of {reference.job}"
                elif reference.job in {*everything} - {*made}:
                    text = f"{text}: {reference.job} runs later"
                where = f"jobs.{spec.name}.{place}"
                yield Problem(where, "reference", text, available(reference, made))
        earlier[spec.name] = spec.outputs


def _iterations(most: Any, specs: Sequence[JobSpec]) -> Iterator[Problem]:
    reads = any(reference.previous for spec in specs for reference in _references(spec))
    several = isinstance(most, int) and most > 1
    if several and specs and not reads:
        text = f"given {most}, but no job reads ${{previous:…}}"
        hint = "every iteration would be the first again"
        yield Problem("max_iterations", "setting", text, hint)


def _references(spec: JobSpec) -> Iterator[Reference]:
    return references([spec.config, spec.map])


def _forced(jobs: Sequence[str], order: Sequence[Place]) -> Iterator[Problem]:
    names = {name for _, _, name in order}
    for name in sorted(set(jobs) - names):
        yield Problem("force", "job", f"there is no job {name!r}", did_you_mean(name, names))
