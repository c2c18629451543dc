"""What a run would do and why, without doing it: ``dry_run=true``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.components.allowed import locate
from sandbox.components.build import build
from sandbox.components.tree import nodes
from sandbox.envs import CurrentEnv, Env
from sandbox.job import JobSpec
from sandbox.planning.plan import Plan
from sandbox.planning.references import references
from sandbox.running.context import Context
from sandbox.running.elements import expand, gather
from sandbox.store.fingerprint import Element
from sandbox.store.records import Content, JobStore


def show(
    checked: Plan, store: JobStore, allowed: tuple[str, ...], force: Sequence[str] = ()
) -> None:
    """Print every element job of one iteration, with the reason why it would run or not.

    Args:
        checked: The plan.
        store: Where records are.
        allowed: Patterns of allowed targets.
        force: Names of jobs that run although they are recorded.
    """
    context = Context()
    waiting: set[str] = set()
    for spec in checked.jobs:
        depends = sorted(
            {
                r.job
                for r in references([spec.config, spec.map])
                if r.job in waiting and not r.previous
            }
        )
        if depends:
            _print(spec, spec.name, f"depends on {', '.join(depends)}")
            waiting.add(spec.name)
            continue
        elements = expand(spec, context, store, allowed)
        records = []
        for element in elements:
            record = element.record(store)
            reason = "recorded" if record else _reason(element, store)
            _print(spec, element.label, "forced" if spec.name in force else reason)
            records += [record] if record else []
        if len(records) < len(elements) or spec.name in force:
            waiting.add(spec.name)
            continue
        for record in records:
            context.hashes |= record.hashes
        context.results[1, spec.name] = gather(spec, elements, records)
    for line in env_lines(checked, allowed):
        print(line)


def env_lines(checked: Plan, allowed: tuple[str, ...]) -> Iterator[str]:
    """What envs the jobs run in, a line each, but for the launcher's own; none is made by asking."""
    for spec in checked.jobs:
        where = f"jobs.{spec.name}"
        for place, node in (
            *nodes(spec.config, where),
            *nodes(dict(spec.map), f"{where}.map"),
        ):
            cls = locate(node["_target_"], allowed)
            if not issubclass(cls, Env) or issubclass(cls, CurrentEnv):
                continue
            waits = sorted({reference.job for reference in references(dict(node))})
            if any(f"{where}.{leaf}".startswith(f"{place}.") for leaf in spec.map):
                what = "one for each element"
            else:
                what = (
                    f"depends on {', '.join(waits)}" if waits else build(node, allowed).describe()
                )
            yield f"{place:<34} {what}"


def _print(spec: JobSpec, label: str, reason: str) -> None:
    print(f"{f'{spec.pipeline}.{spec.job_list}':<34} {label:<24} {reason}")


def _reason(element: Element, store: JobStore) -> str:
    """Why an element that is not recorded would run."""
    if (element.folder / "attempts").exists() and not (element.folder / "record.json").exists():
        return "failed or was cut short before"
    others = store.others(element.job)
    if not others:
        return "new"
    nearest = min(others, key=lambda record: len(_differences(record.parts, element.parts)))
    names = _differences(nearest.parts, element.parts)
    # another class has other arguments: its name says it all
    names = [name for name in names if name.endswith("_target_")] or names
    # an empty mapping that got its first entry, or lost its last, is told by that entry
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    told = [_difference(name, nearest.parts, element.parts) for name in names[:3]]
    told += [f"… ({len(names)} in all)"] if len(names) > 3 else []
    return "; ".join(told) or "an output is missing or was changed since it was recorded"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the parts that differ; one that is not there differs from ``None`` too."""
    absent = object()
    return sorted(key for key in {*before, *now} if before.get(key, absent) != now.get(key, absent))


def _difference(name: str, parts_before: Mapping[str, Any], parts_now: Mapping[str, Any]) -> str:
    before, now = parts_before.get(name), parts_now.get(name)
    if name.endswith("_version_"):
        return f"version of {name.removesuffix('._version_') or 'its hook'} changed from {before} to {now}"
    if any(isinstance(value, Content) for value in (before, now)):
        return f"input {name} changed"
    if name not in parts_before:
        return f"argument {name} is new: {now!r}"
    if name not in parts_now:
        return f"argument {name} is gone, was {before!r}"
    return f"argument {name} changed from {before!r} to {now!r}"
