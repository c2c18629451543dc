"""Show what a run would do and why, without doing it: ``dry_run=true``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.build import build
from sandbox.components.signature import arguments_of
from sandbox.components.tree import leaves
from sandbox.envs import CurrentEnv, Env
from sandbox.job import JobSpec
from sandbox.planning.axes import axes_names
from sandbox.planning.job_map import used_nodes
from sandbox.planning.plan import Plan
from sandbox.planning.references import Reference, references
from sandbox.running.context import Context
from sandbox.running.elements import expand
from sandbox.running.outputs import finish
from sandbox.store.fingerprint import Element
from sandbox.store.records import Content, JobRecord, JobStore
from sandbox.store.sources import changes

_WIDTH = 100
_INDENT = "      "


def show(
    checked: Plan,
    store: JobStore,
    allowed: tuple[str, ...],
    force: Sequence[str] = (),
    compute: Mapping[str, Any] | None = None,
) -> None:
    """Print the jobs of one iteration: component, compute, the reason to run or not, and inputs.

    A job with elements has a line for each as soon as these are known, and one with its axes.

    Args:
        checked: The plan.
        store: Where records are.
        allowed: Patterns of allowed targets.
        force: Names of jobs that run although they are recorded.
        compute: Node of the compute of all jobs that have none of their own.
    """
    table = _Table(checked.jobs, compute or {})
    context = Context()
    waiting: set[str] = set()
    for spec in checked.jobs:
        table.print_place(spec)
        needed = {reference.job for _, reference in _inputs(spec) if not reference.previous}
        depends = sorted(waiting & needed)
        if depends:
            table.print_job(spec, spec.name, f"depends on {', '.join(depends)}")
            waiting.add(spec.name)
        elif not _show_elements(spec, table, context, store, allowed, spec.name in force):
            waiting.add(spec.name)
        _print_packed([*_wiring(spec), *_resources(spec, allowed)])
        if spec.axes:
            print(f"{_INDENT}axes: {axes_names(spec.axes)}")
        for remark in _remarks(spec, allowed):
            print(f"{_INDENT}{remark}")
    for line in env_lines(checked, allowed):
        print(line)


def _show_elements(
    spec: JobSpec,
    table: _Table,
    context: Context,
    store: JobStore,
    allowed: tuple[str, ...],
    forced: bool,
) -> bool:
    """Print the elements of a job whose inputs are known; return True if all are recorded."""
    elements = expand(spec, context, store, allowed)
    found = [(element, element.record(store)) for element in elements]
    records: list[JobRecord] = []
    width = max(len(element.full_label) for element in elements)
    for element, record in found:
        reason = "recorded" if record else _reason(element, store)
        label = f"{element.full_label:<{width}}"
        table.print_job(spec, label, "forced" if forced else reason)
        records += [record] if record else []
    if forced:
        return False
    _print_changes([(each.config, record.run) for each, record in found if record], allowed)
    if len(records) < len(elements):
        return False
    finish(spec, elements, records, context)
    return True


def _print_changes(
    recorded: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], allowed: tuple[str, ...]
) -> None:
    """Print what changed in the code behind records that count as they are."""
    text = changes(recorded, allowed)
    if text:
        print(f"{_INDENT}reused, although since it was recorded {text}")


class _Table:
    """Lines of jobs with aligned columns, under a heading for each job list."""

    def __init__(self, jobs: Sequence[JobSpec], compute: Mapping[str, Any]) -> None:
        self._compute = compute
        self._place = ""
        labels = [f"{spec.name}[00]" if spec.axes else spec.name for spec in jobs]
        self._widths = (
            max(map(len, labels), default=0),
            max((len(_component(spec)) for spec in jobs), default=0),
            max((len(self._where(spec)) for spec in jobs), default=0),
        )

    def print_place(self, spec: JobSpec) -> None:
        """Print the pipeline and job list of a job unless the last job is in the same ones."""
        place = f"{spec.pipeline}.{spec.job_list}"
        if place != self._place:
            print(place)
            self._place = place

    def print_job(self, spec: JobSpec, label: str, reason: str) -> None:
        """Print one job or element; its reason ends the line."""
        cells = (label, _component(spec), self._where(spec))
        columns = (f"{cell:<{width}}" for cell, width in zip(cells, self._widths, strict=True))
        print(f"  {'  '.join(columns)}  {reason}")

    def _where(self, spec: JobSpec) -> str:
        return _class_name(spec.compute or self._compute).lower()


def _component(spec: JobSpec) -> str:
    """Class of a job's component, of each where ``map`` gives several, or of a hook without one."""
    parts = [*spec.config.values()]
    for leaf in spec.map.values():
        parts += leaf if isinstance(leaf, list) else []
    names = [_class_name(part) for part in parts if isinstance(part, Mapping)]
    return "/".join(dict.fromkeys(filter(None, names))) or _class_name(spec.config)


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _inputs(spec: JobSpec) -> Iterator[tuple[str, Reference]]:
    """Yield references to outputs, each with its dotted place in the job."""
    for place, leaf in leaves({**spec.config, "map": spec.map}):
        yield from ((place, reference) for reference in references(leaf))


def _wiring(spec: JobSpec) -> Iterator[str]:
    """Inputs of a job, as ``executor.dataset_path <- data.train_path``."""
    for place, reference in _inputs(spec):
        source = ".".join((reference.job, *reference.keys))
        yield f"{place} <- {'previous ' if reference.previous else ''}{source}"


def _resources(spec: JobSpec, allowed: tuple[str, ...]) -> Iterator[str]:
    """Arguments of a job's own compute that differ from their defaults."""
    if spec.compute is None:
        return
    for name, argument in arguments_of(locate(spec.compute["_target_"], allowed)).items():
        value = spec.compute.get(name, argument.default)
        if value != argument.default:
            yield f"compute.{name} = {value}"


def _print_packed(items: Sequence[str]) -> None:
    """Print items separated by commas, as many a line as fit."""
    line = ""
    for index, item in enumerate(items):
        text = item if index == len(items) - 1 else f"{item},"
        if line and len(f"{_INDENT}{line} {text}") > _WIDTH:
            print(f"{_INDENT}{line}")
            line = ""
        line = f"{line} {text}".lstrip()
    if line:
        print(f"{_INDENT}{line}")


def remark_lines(checked: Plan, allowed: tuple[str, ...]) -> Iterator[str]:
    """Yield what components remark on their jobs, a line each, with the job's name."""
    for spec in checked.jobs:
        yield from (f"{spec.name}: {remark}" for remark in _remarks(spec, allowed))


def _remarks(spec: JobSpec, allowed: tuple[str, ...]) -> Iterator[str]:
    for _, node in used_nodes(spec):
        remarks = getattr(locate(node["_target_"], allowed), "remarks", None)
        if remarks is not None:
            yield from remarks(spec.config)


def env_lines(checked: Plan, allowed: tuple[str, ...]) -> Iterator[str]:
    """Describe the envs that jobs run in, a line each, except the launcher's own; makes none."""
    for spec in checked.jobs:
        for place, node in used_nodes(spec):
            cls = locate(node["_target_"], allowed)
            if issubclass(cls, Env) and not issubclass(cls, CurrentEnv):
                yield f"{place:<34} {_env_description(spec, place, node, allowed)}"


def _env_description(
    spec: JobSpec, place: str, node: Mapping[str, Any], allowed: tuple[str, ...]
) -> str:
    if any(f"jobs.{spec.name}.{leaf}".startswith(f"{place}.") for leaf in spec.map):
        return "one for each element"
    waits = sorted({reference.job for reference in references(dict(node))})
    if waits:
        return f"depends on {', '.join(waits)}"
    description: str = build(node, allowed).describe()
    return description


def _reason(element: Element, store: JobStore) -> str:
    """Return the reason why an element without a record would run."""
    if (element.folder / "attempts").exists() and not (element.folder / "record.json").exists():
        return "failed or was cut short before"
    others = store.others(element.job)
    is_known = any(record.fingerprint == element.fingerprint for record in others)
    if (element.folder / "record.json").exists() and not is_known:
        return "its record is damaged"
    if not others:
        return "new"
    nearest = min(others, key=lambda record: len(_differences(record.parts, element.parts)))
    names = _differences(nearest.parts, element.parts)
    # Another class has other arguments, which would only hide its name.
    names = [name for name in names if name.endswith("_target_")] or names
    # A mapping that got its first entry, or lost its last, differs too; the entry is enough.
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    changes = [_difference(name, nearest.parts, element.parts) for name in names[:3]]
    if len(names) > 3:
        changes.append(f"… ({len(names)} in all)")
    return "; ".join(changes) or "an output is missing or was changed since it was recorded"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the parts that differ; an absent one differs from ``None`` too."""
    absent = object()
    return sorted(key for key in {*before, *now} if before.get(key, absent) != now.get(key, absent))


def _difference(name: str, parts_before: Mapping[str, Any], parts_now: Mapping[str, Any]) -> str:
    before, now = parts_before.get(name), parts_now.get(name)
    if name.endswith("_version_"):
        owner = name.removesuffix("._version_") or "its hook"
        return f"version of {owner} changed from {before} to {now}"
    if any(isinstance(value, Content) for value in (before, now)):
        return f"input {name} changed"
    if name not in parts_before:
        return f"argument {name} is new: {now!r}"
    if name not in parts_now:
        return f"argument {name} is gone, was {before!r}"
    return f"argument {name} changed from {before!r} to {now!r}"
