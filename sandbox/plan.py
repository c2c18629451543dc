"""From a composed config to ordered, checked jobs: every problem at once, and nothing runs."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sandbox import components
from sandbox.context import Reference, references
from sandbox.job import JobSpec
from sandbox.targets import Scalar, Target

log = logging.getLogger(__name__)

JOB_LISTS = ("probe_jobs", "refine_recipe_jobs", "execution_jobs", "evaluation_jobs")
RESERVED = ("map", "seeds", "compute")
FRAME_KEYS = (
    "experiment_name",
    "pipelines",
    "jobs",
    "max_iterations",
    "targets",
    "objective",
    "force",
    "dry_run",
)


class PlanError(ValueError):
    """The experiment cannot run as written; the message lists every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


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


def plan(cfg: DictConfig, allowed: Sequence[str]) -> Plan:
    """Order the jobs of all pipelines and check them together.

    Args:
        cfg: The composed config.
        allowed: Patterns of allowed targets.

    Raises:
        PlanError: With every problem found.
    """
    order, problems = _order(cfg)
    if not cfg.pipelines:
        problems.append(
            "no pipelines: choose an experiment with +experiment=NAME; `python -m sandbox` lists them"
        )
    for name in sorted(set(cfg.jobs) - {name for _, _, name in order}):
        log.warning("jobs.%s is in no job list and will not run", name)
    specs: list[JobSpec] = []
    for pipeline, job_list, name in order:
        spec, found = _job(cfg, pipeline, job_list, name, allowed)
        problems += found
        if spec is not None:
            specs.append(spec)
    problems += _dangling(specs, {name for _, _, name in order})
    problems += _iterations(cfg, specs)
    objective, targets, any_target, found = _scalars(cfg, specs)
    problems += found
    unknown = sorted(set(_force(cfg)) - {spec.name for spec in specs} - {name for _, _, name in order})
    problems += [f"force: no job named {name!r}{_near(name, cfg.jobs)}" for name in unknown]
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
    return Plan(tuple(specs), objective, targets, any_target)


def _force(cfg: DictConfig) -> list[str]:
    force = OmegaConf.to_container(cfg.force) if OmegaConf.is_config(cfg.force) else cfg.force
    return [force] if isinstance(force, str) else [str(name) for name in force or []]


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else f"; there are: {', '.join(known) or 'none'}"


def _order(cfg: DictConfig) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(pipeline, job list, job) in running order, and what is wrong with the job lists."""
    order, problems, seen = [], [], set()
    for pipeline, lists in cfg.pipelines.items():
        if not isinstance(lists, DictConfig):
            problems.append(f"pipelines.{pipeline}: expected job lists, given {lists!r}")
            continue
        for key in set(lists) - set(JOB_LISTS):
            problems.append(f"pipelines.{pipeline}.{key}: not a job list; there are: {', '.join(JOB_LISTS)}")
        for job_list in JOB_LISTS:
            where = f"pipelines.{pipeline}.{job_list}"
            names = lists.get(job_list) or []
            if not isinstance(names, (list, ListConfig)):
                problems.append(f"{where}: expected a list of job names, given {names!r}")
                continue
            for name in names:
                if name not in cfg.jobs:
                    problems.append(f"{where}: no job named {name!r}{_near(name, cfg.jobs)}")
                elif name in seen:
                    problems.append(
                        f"{where}: job {name!r} is listed twice; a second job needs a name of its own"
                    )
                else:
                    order.append((pipeline, job_list, name))
                seen.add(name)
    return order, problems


def _job(
    cfg: DictConfig, pipeline: str, job_list: str, name: str, allowed: Sequence[str]
) -> tuple[JobSpec | None, list[str]]:
    where = f"jobs.{name}"
    try:
        node = _resolved(cfg.jobs, name, allowed)
    except OmegaConfBaseException as error:
        return None, [f"{where}: {str(error).splitlines()[0]}"]
    if not isinstance(node, dict) or "_target_" not in node:
        return None, [
            f"{where}: has no hook; choose one with `- /hook@jobs.{name}: …` in the experiment's defaults"
        ]
    node = _capped(node, OmegaConf.to_container(cfg.cap) if cfg.get("cap") else {})
    reserved = {key: node.pop(key) for key in RESERVED if key in node}
    leaves, product, problems = _map(reserved.get("map"), where)
    later = list(leaves)
    seed_argument, seeds = "", ()
    if reserved.get("seeds") is not None:
        seeds, seed_argument, found = _seeds(reserved["seeds"], node, where, allowed)
        problems += found
        later.append(seed_argument)
    for place, inner in components.nodes(node, where):
        here = place.removeprefix(where).lstrip(".")
        given_later = [leaf.removeprefix(f"{here}.") for leaf in later if leaf.rpartition(".")[0] == here]
        problems += components.problems(inner, place, allowed, given_later)
    problems += _map_problems(node, leaves, where, allowed)
    compute = reserved.get("compute")
    if compute is not None:
        problems += [
            problem
            for place, inner in components.nodes(compute, f"{where}.compute")
            for problem in components.problems(inner, place, allowed)
        ]
    if problems:
        spec = JobSpec(name, pipeline, job_list, node, leaves, outputs=_outputs(node, leaves, allowed))
        return spec, problems
    spec = JobSpec(
        name, pipeline, job_list, node, leaves, product, seeds, seed_argument, compute,
        _outputs(node, leaves, allowed, bool(seeds)), _lower_is_better(node, allowed),
    )  # fmt: skip
    problems += _construct(spec, where, allowed)
    _warn_unusual(spec, allowed)
    return spec, problems


def _resolved(parent: DictConfig, key: str, allowed: Sequence[str]) -> Any:
    """A node as plain data, all interpolations resolved but references and declared secrets."""
    node = parent._get_node(key)
    if OmegaConf.is_missing(parent, key):
        return "???"
    value = parent[key]
    if not isinstance(value, DictConfig):
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    try:
        secrets = components.secret_arguments(components.locate(value.get("_target_"), allowed))
    except components.TargetError:
        secrets = set()
    del node
    raw = OmegaConf.to_container(value, resolve=False)
    assert isinstance(raw, dict)
    return {str(name): raw[name] if name in secrets else _resolved(value, name, allowed) for name in value}


def _capped(node: Any, caps: Any) -> Any:
    """``node`` with every argument that ``cap`` names at most that large; a list at most that long."""
    if isinstance(node, dict):
        return {
            key: _cap(_capped(value, caps), caps[key]) if key in caps else _capped(value, caps)
            for key, value in node.items()
        }
    return [_capped(item, caps) for item in node] if isinstance(node, list) else node


def _cap(value: Any, limit: Any) -> Any:
    if isinstance(value, list):
        return value[: int(limit)]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(value, limit) if number else value


def _map(node: Any, where: str) -> tuple[dict[str, Any], bool, list[str]]:
    """The leaves of ``map`` by dotted place, whether they multiply, and what is wrong."""
    if node is None:
        return {}, False, []
    if not isinstance(node, dict):
        return (
            {},
            False,
            [f"{where}.map: expected the job's own structure with lists as leaves, given {node!r}"],
        )
    node = dict(node)
    product = node.pop("product", False)
    leaves = dict(_map_leaves(node, ""))
    problems = [
        f"{where}.map.{place}: expected a list, or a reference to one, given {leaf!r}"
        for place, leaf in leaves.items()
        if not isinstance(leaf, list) and not isinstance(leaf, str)
    ]
    problems += [f"{where}.map.{place}: is empty" for place, leaf in leaves.items() if leaf == []]
    lengths = {place: len(leaf) for place, leaf in leaves.items() if isinstance(leaf, list)}
    if not product and len(set(lengths.values())) > 1:
        problems.append(
            f"{where}.map: zipped lists have unequal lengths: {_lengths(lengths)}; `product: true` multiplies"
        )
    if not isinstance(product, bool):
        problems.append(f"{where}.map.product: expected true or false, given {product!r}")
    return leaves, product is True, problems


def _lengths(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{place} has {length}" for place, length in lengths.items())


def _map_leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        where = f"{place}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _map_leaves(value, where)
        else:
            yield where, value


def _map_problems(node: Any, leaves: Mapping[str, Any], where: str, allowed: Sequence[str]) -> Iterator[str]:
    """A leaf must be an argument of the component that it stands in; its elements must fit."""
    for place, leaf in leaves.items():
        parent_place, _, argument = place.rpartition(".")
        parent = select(node, parent_place)
        if not isinstance(parent, dict):
            yield f"{where}.map.{place}: the job has no {parent_place!r}"
            continue
        if "_target_" not in parent:
            continue
        for index, item in enumerate(leaf if isinstance(leaf, list) else []):
            trial = {
                "_target_": parent["_target_"],
                **{k: v for k, v in parent.items() if k == argument},
                argument: item,
            }
            for problem in components.problems(
                trial, f"{where}.map", allowed, later=_all_but(parent, argument, allowed)
            ):
                yield problem.replace(f"{where}.map.{argument}", f"{where}.map.{place}[{index}]")
            for spot, inner in components.nodes(item, f"{where}.map.{place}[{index}]"):
                yield from components.problems(inner, spot, allowed)
        if isinstance(leaf, str):
            trial = {**parent, argument: None}
            names = components.annotations(components.locate(parent["_target_"], allowed))
            if argument not in names:
                yield f"{where}.map.{place}: takes no argument {argument!r}{_near(argument, names)}"
            del trial


def _all_but(parent: Mapping[str, Any], argument: str, allowed: Sequence[str]) -> list[str]:
    names = components.annotations(components.locate(parent["_target_"], allowed))
    return [name for name in names if name != argument]


def select(node: Any, place: str) -> Any:
    """The value at a dotted place of plain data; ``None`` where there is none."""
    for key in place.split(".") if place else []:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _seeds(
    value: Any, node: Any, where: str, allowed: Sequence[str]
) -> tuple[tuple[int, ...], str, list[str]]:
    """The seeds, and the dotted place of the one argument that takes them."""
    counts = range(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if (
        not isinstance(counts, (list, range))
        or not counts
        or not all(isinstance(seed, int) for seed in counts)
    ):
        return (), "", [f"{where}.seeds: expected a positive number or a list of integers, given {value!r}"]
    places = []
    for place, inner in components.nodes(node, ""):
        try:
            takes = "seed" in components.annotations(components.locate(inner["_target_"], allowed))
        except components.TargetError:
            takes = False
        if takes:
            places.append(f"{place}.seed".lstrip("."))
    if len(places) != 1:
        return (
            (),
            "",
            [
                f"{where}.seeds: needs one component with an argument `seed`, found {', '.join(places) or 'none'}"
            ],
        )
    first = select(node, places[0]) if isinstance(value, int) else 0
    offset = first if isinstance(first, int) else 0
    return tuple(seed + offset if isinstance(value, int) else seed for seed in counts), places[0], []


def _outputs(
    node: Any, leaves: Mapping[str, Any], allowed: Sequence[str], repeated: bool = False
) -> tuple[str, ...]:
    from sandbox.element import declared_outputs

    whole = dict(node)
    for place, leaf in leaves.items():  # a mapped component is declared by its first element
        if "." not in place and isinstance(leaf, list) and leaf:
            whole[place] = leaf[0]
    try:
        names = declared_outputs(whole, allowed)
    except components.TargetError:
        return ()
    extra = [f"{name}_{kind}" for name in names for kind in ("std", "values")] if repeated else []
    return (*names, *extra, *(["elements"] if leaves else []))


def _lower_is_better(node: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    classes = [components.locate(inner["_target_"], allowed) for _, inner in components.nodes(node, "")]
    return tuple(name for cls in classes for name in getattr(cls, "LOWER_IS_BETTER", ()))


def _construct(spec: JobSpec, where: str, allowed: Sequence[str]) -> Iterator[str]:
    """What constructors and ``check`` methods object to, of components that need no output of another job."""
    for place, node in components.nodes(spec.config, where):
        here = place.removeprefix(where).lstrip(".")
        mapped = any(
            leaf.rpartition(".")[0].startswith(here) or leaf == here
            for leaf in (*spec.map, spec.seed_argument)
            if leaf
        )
        if not here or mapped or any(references(dict(node))):
            continue
        try:
            component = components.build(node, allowed)
            if hasattr(component, "check"):
                component.check()
        except Exception as error:
            cause = error.__cause__ if error.__cause__ is not None else error
            yield f"{place}: {str(cause).splitlines()[0] if str(cause) else type(cause).__name__}"


def _warn_unusual(spec: JobSpec, allowed: Sequence[str]) -> None:
    usual = getattr(components.locate(spec.config["_target_"], allowed), "USUAL_LISTS", ())
    if usual and spec.job_list not in usual:
        log.debug(
            "%s stands in %s; its hook usually stands in %s", spec.name, spec.job_list, " or ".join(usual)
        )


def _dangling(specs: Sequence[JobSpec], listed: set[str]) -> Iterator[str]:
    """References to outputs that no earlier job (``output``) or no job at all (``previous``) makes."""
    earlier: dict[str, tuple[str, ...]] = {}
    everything = {spec.name: spec.outputs for spec in specs}
    broken = listed - set(everything)
    for spec in specs:
        for reference in references([spec.config, spec.map]):
            made = everything if reference.previous else earlier
            if reference.job in broken or _is_made(reference, made):
                continue
            names = ", ".join(f"{job}.{key}" for job, keys in made.items() for key in keys) or "none"
            which = "no job" if reference.previous else "no earlier job"
            yield f"jobs.{spec.name}: {reference} is produced by {which}; available: {names}"
        earlier[spec.name] = spec.outputs


def _is_made(reference: Reference, made: Mapping[str, Sequence[str]]) -> bool:
    return bool(reference.keys) and reference.keys[0] in made.get(reference.job, ())


def _iterations(cfg: DictConfig, specs: Sequence[JobSpec]) -> Iterator[str]:
    if not isinstance(cfg.max_iterations, int) or cfg.max_iterations < 1:
        yield f"max_iterations: expected a positive number, given {cfg.max_iterations!r}"
        return
    reads = any(reference.previous for spec in specs for reference in references([spec.config, spec.map]))
    if cfg.max_iterations > 1 and specs and not reads:
        yield f"max_iterations is {cfg.max_iterations}, but no job reads ${{previous:…}}: every iteration would be the first again"


def _scalars(
    cfg: DictConfig, specs: Sequence[JobSpec]
) -> tuple[tuple[Scalar, ...], tuple[Target, ...], bool, list[str]]:
    """The objective and the targets, and what is wrong with them."""
    problems: list[str] = []
    made = {spec.name: spec.outputs for spec in specs}
    objective, targets = [], []
    for text in _texts(cfg.objective):
        try:
            objective.append(Scalar.parse(text))
        except ValueError as error:
            problems.append(f"objective: {error}")
    given = (
        OmegaConf.to_container(cfg.targets, resolve=True) if OmegaConf.is_config(cfg.targets) else cfg.targets
    )
    any_target = isinstance(given, dict) and "any" in given
    if isinstance(given, dict) and (len(given) != 1 or not set(given) <= {"all", "any"}):
        problems.append(f"targets: expected a list, or one of `all:` and `any:` with a list, given {given!r}")
        given = []
    for text in _texts(next(iter(given.values())) if isinstance(given, dict) and given else given):
        try:
            targets.append(Target.parse(text))
        except ValueError as error:
            problems.append(f"targets: {error}")
    for scalar in [*objective, *(target.scalar for target in targets)]:
        if not _is_made(scalar.reference, made):
            names = ", ".join(f"{job}.{key}" for job, keys in made.items() for key in keys) or "none"
            problems.append(f"{scalar.text}: is produced by no job; available: {names}")
    return tuple(objective), tuple(targets), any_target, problems


def _texts(value: Any) -> list[str]:
    if value is None or value == {}:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]
