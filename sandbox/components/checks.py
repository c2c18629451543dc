"""Check component nodes: in the plan, and again with resolved values before one is built."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from sandbox.components.allowed import TargetError, locate
from sandbox.components.construct import construct
from sandbox.components.contract import contract_breaches
from sandbox.components.permissions import component_permissions
from sandbox.components.problem import Problem
from sandbox.components.signature import (
    arguments_of,
    guarded_arguments,
    rules_of,
    run_annotations,
)
from sandbox.components.tree import Node, is_node, joined, leaves, nodes
from sandbox.components.values import (
    Pending,
    component_annotations,
    converted,
    describe,
    is_open,
    value_problems,
)
from sandbox.envs import CurrentEnv
from sandbox.system.wording import did_you_mean

UNKNOWN: Any = "???"
"""A value that must still be given, as OmegaConf writes it."""


def config_problems(
    config: Any, where: str, allowed: Sequence[str], later: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what is wrong with every component inside ``config``, and with what its machine lacks.

    Args:
        config: Plain data, resolved; references to outputs stand as :class:`Pending`.
        where: Its dotted place.
        allowed: Patterns of allowed targets.
        later: Places below ``where`` of arguments that are given elsewhere (``map``, ``seeds``).
    """
    for place, node in nodes(config, where):
        here = place.removeprefix(where).lstrip(".")
        if any(_is_inside(here, leaf) for leaf in later):
            continue  # replaced as a whole
        names = {
            leaf.removeprefix(f"{here}.").lstrip(".") for leaf in later if _is_inside(leaf, here)
        }
        found = list(node_problems(node, place, allowed, names))
        yield from found
        if not found:
            is_complete = not names and not is_pending(node)
            yield from machine_problems(node, place, allowed, is_complete)
        yield from permission_problems(node, place, allowed)


def node_problems(
    node: Node, where: str, allowed: Sequence[str], later: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what is wrong with one component: class path, arguments, their values and rules.

    Components inside it are checked by themselves.

    Args:
        node: The node, resolved; references to outputs stand as :class:`Pending`.
        where: Its dotted place in the config.
        allowed: Patterns of allowed targets.
        later: Names of arguments that are given elsewhere; with a dot those of a component inside.
    """
    try:
        cls = locate(node["_target_"], allowed)
    except TargetError as error:
        yield Problem(where, "target", str(error))
        return
    breaches = contract_breaches(cls)
    for breach in breaches:
        yield Problem(where, "component", f"{cls.__name__} is no component as agreed: {breach}")
    if breaches:
        return
    arguments = arguments_of(cls)
    wrong = set()
    for name in given_arguments(node):
        if name not in arguments:
            text = f"{cls.__name__} takes no argument {name!r}"
            hint = did_you_mean(name, arguments)
            yield Problem(f"{where}.{name}", "unknown_argument", text, hint)
    for name, argument in arguments.items():
        place = f"{where}.{name}"
        value = node.get(name, UNKNOWN if argument.is_required else argument.default)
        if name in later:
            continue
        if isinstance(value, str) and value == UNKNOWN:
            wrong.add(name)
            expected = describe(argument.annotation)
            yield Problem(place, "missing_argument", f"must be given ({expected})")
        elif name in node:
            found = list(argument_problems(value, argument.annotation, place, allowed))
            wrong |= {name} if found else set()
            yield from found
    given = {name: value for name, value in node.items() if name not in {*wrong, *later}}
    yield from _passed_on_problems(cls, given, where, allowed)
    yield from rule_problems(cls, given, where, allowed, unknown={*wrong, *later})


def permission_problems(node: Node, where: str, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield what one component asks for and only the person who starts the run can allow."""
    try:
        cls = locate(node["_target_"], allowed)
    except TargetError:  # reported where the component itself is checked
        return
    yield from component_permissions(cls, node, where, allowed)


def argument_problems(
    value: Any, annotation: Any, where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is wrong with a value, or with the family of a component, for one argument."""
    for problem in value_problems(value, annotation, where):
        is_bare = isinstance(value, Mapping) and problem.where == where
        hint = "`_target_` is missing" if is_bare and _takes_component(annotation) else problem.hint
        yield replace(problem, hint=hint)
    if not is_node(value):
        return
    try:
        cls = locate(value["_target_"], allowed)
    except TargetError:  # reported where the component itself is checked
        return
    kinds = [*component_annotations(annotation)]
    if not any(is_open(kind) or issubclass(cls, kind) for kind in kinds):
        text = f"given {value['_target_']}, expected {describe(annotation)}"
        yield Problem(where, "component", text)


def _passed_on_problems(
    hook: type, given: Mapping[str, Any], where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield arguments of a hook that do not fit the ``run`` of the component they are passed to.

    An evaluator's ``run`` annotates the shape of ``eval_obj`` more narrowly than its hook can.
    """
    component = given.get(getattr(hook, "RESULTS_FROM", ""))
    if component is None or not is_node(component):
        return
    try:
        annotations = run_annotations(locate(component["_target_"], allowed))
    except TargetError:  # reported where the component itself is checked
        return
    for name in sorted(set(annotations) & set(given)):
        yield from value_problems(given[name], annotations[name], f"{where}.{name}")


def rule_problems(
    cls: type,
    given: Mapping[str, Any],
    where: str,
    allowed: Sequence[str],
    unknown: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Iterator[Problem]:
    """Yield the rules between arguments that the known ones break.

    Args:
        cls: Class of the component.
        given: Plain values by argument; the others have their defaults.
        where: Place of the component.
        allowed: Patterns of allowed targets.
        unknown: Names of arguments whose values are not known, or wrong.
        only: Rules that read none of these arguments are left out; ``None`` leaves none out.
    """
    arguments = arguments_of(cls)
    for rule, names in rules_of(cls).items():
        values = {name: given.get(name, arguments[name].default) for name in names}
        is_asked = only is None or not set(only).isdisjoint(names)
        if not is_asked or not set(unknown).isdisjoint(names) or is_pending(values):
            continue
        try:
            rule(
                **{
                    name: _argument(values[name], arguments[name].annotation, allowed)
                    for name in names
                }
            )
        except Exception as error:  # a rule may read a file of the user's
            place = joined(where, names[0]) if len(names) == 1 else where
            yield Problem(place, "rule", _error_text(error, rule.__name__))


def machine_problems(
    node: Node, where: str, allowed: Sequence[str], is_complete: bool
) -> Iterator[Problem]:
    """Yield what a component misses on this machine: ``PACKAGES``, and what its ``check`` finds.

    A static ``check`` is asked also while arguments are still unknown.
    """
    cls = locate(node["_target_"], allowed)
    if _runs_here(node, allowed):
        yield from _missing_packages(cls, where)
    is_static = isinstance(inspect.getattr_static(cls, "check", None), staticmethod)
    if not hasattr(cls, "check") or not (is_static or is_complete):
        return
    try:
        (cls if is_static else construct(node, allowed)).check()
    except Exception as error:  # whatever a component raises is the user's to read
        yield Problem(where, "machine", _error_text(error, f"check of {cls.__name__}"))


def _runs_here(node: Node, allowed: Sequence[str]) -> bool:
    """Return True if a component uses the launcher's own packages: another env has its own."""
    env: Any = node.get("env")
    if isinstance(env, Pending):
        return False
    return not is_node(env) or issubclass(locate(env["_target_"], allowed), CurrentEnv)


def _missing_packages(cls: type, where: str) -> Iterator[Problem]:
    needs: Mapping[str, Sequence[str]] = getattr(cls, "PACKAGES", {})
    for extra, names in needs.items():
        missing = [name for name in names if find_spec(name) is None]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            remedy = f"'sandbox[{extra}]'" if extra else " ".join(missing)
            text = f"{', '.join(missing)} {verb} not installed; pip install {remedy}"
            yield Problem(where, "machine", text)


def _error_text(error: Exception, source: str) -> str:
    """Return the message of an error; of one that is no message to people, its type and source."""
    text = str(error).strip()
    if isinstance(error, (ValueError, RuntimeError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__} in {source}: {text}".rstrip(": ")


def literal_secrets(config: Any, where: str, allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield the wrong secrets of all components inside ``config``, and nothing else."""
    for place, node in nodes(config, where):
        try:
            arguments = guarded_arguments(locate(node["_target_"], allowed))
        except TargetError:
            continue
        for argument in arguments:
            if argument.name not in node:
                continue
            spot = f"{place}.{argument.name}"
            found = value_problems(node[argument.name], argument.annotation, spot)
            yield from (problem for problem in found if problem.kind == "secret")


def all_found(config: Any, allowed: Sequence[str]) -> bool:
    """Return True if every component inside ``config`` has a class: its results are known."""
    try:
        for _, node in nodes(config):
            locate(node["_target_"], allowed)
    except TargetError:
        return False
    return True


def given_arguments(node: Node) -> dict[str, Any]:
    """Return what a component's node gives to its constructor."""
    return {key: value for key, value in node.items() if key != "_target_"}


def _takes_component(annotation: Any) -> bool:
    """Return True for an argument whose class path may be chosen."""
    kinds = component_annotations(annotation)
    return any(inspect.isclass(kind) and inspect.isabstract(kind) for kind in kinds)


def is_pending(value: Any) -> bool:
    """Return True if something inside ``value`` is known only later."""
    return any(isinstance(leaf, Pending) for _, leaf in leaves(value))


def _argument(value: Any, annotation: Any, allowed: Sequence[str]) -> Any:
    """Return a plain value as a rule reads it: converted, components built."""
    if any(True for _ in nodes(value)):
        return construct(value, allowed)
    return converted(value, annotation)


def _is_inside(place: str, outer: str) -> bool:
    """Return True if ``place`` is ``outer`` or lies below it."""
    return not outer or f"{place}.".startswith(f"{outer}.")
