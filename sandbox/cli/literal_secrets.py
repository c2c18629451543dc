"""Find secrets that are typed as literals."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from sandbox.cli.messages import SECRET_NAMES
from sandbox.cli.reading import resolved
from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import literal_secrets
from sandbox.components.permissions import without_interpolations
from sandbox.components.problem import Problem
from sandbox.components.signature import secret_arguments
from sandbox.components.tree import children, leaves, nodes, select
from sandbox.components.values import secret_problems
from sandbox.job import NoUrlPassword

_REFERENCE = re.compile(r"\$\{(?:oc\.env:)?[\w.\s]*\}")
_SHORTEST_OF_ENVIRONMENT = 8
_CHECKED_APART = ("overrides", "runtime")


def secrets_in_config(
    cfg: DictConfig, raw: Mapping[str, Any], hydra: Mapping[str, Any], allowed: Sequence[str]
) -> list[Problem]:
    """Return the secrets that a config holds as literals, in jobs that will not run too.

    Args:
        cfg: A composed config, nothing of which has been written or printed yet.
        raw: The same as plain data, unresolved, without ``hydra``.
        hydra: Its ``hydra`` node as plain data, unresolved.
        allowed: Patterns of allowed class paths.
    """
    typed = [
        *hydra.get("overrides", {}).get("task", []),
        *hydra.get("overrides", {}).get("hydra", []),
    ]
    swept = [f"{key}={value}" for key, value in children(select(hydra, "sweeper.params"))]
    kept = {key: value for key, value in hydra.items() if key not in _CHECKED_APART}
    found = [problem for key in raw for problem in literal_secrets(raw[key], key, allowed)]
    # Values of a sweep are in no config before its trials; launchers print them first.
    places = _secret_places(raw, allowed)
    found += _secrets_in_overrides([*typed, *swept], places)
    used = {**raw, "hydra": kept}
    for place, leaf in leaves(used):
        found += _logins(place, leaf)
    return [*found, *_copied_secrets(cfg, used, places)]


def _copied_secrets(cfg: DictConfig, copy: Any, places: Collection[str]) -> Iterator[Problem]:
    """Yield values, in whatever way they are composed, that hold a secret of the environment.

    Only an argument that is declared secret may read one: all others are written and printed.
    """
    secrets = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith(SECRET_NAMES) and len(value) >= _SHORTEST_OF_ENVIRONMENT
    }
    if not secrets:
        return
    places = {*places, *_unused_names(copy)}
    for place, leaf in leaves(resolved(copy, cfg)):
        for name, value in secrets.items():
            if value in str(leaf) and place not in places:
                text = f"holds the value of {name}, which only an argument for secrets may read"
                yield Problem(place, "secret", text)


def _unused_names(copy: Any) -> Iterator[str]:
    """Yield Hydra's name of all overrides, unless a folder or a log has it: it repeats secrets."""
    name = "override_dirname"
    if not any(name in str(leaf) for place, leaf in leaves(copy) if not place.endswith(name)):
        yield f"hydra.job.{name}"


def _secret_places(raw: Any, allowed: Sequence[str]) -> set[str]:
    """Return the dotted places of all arguments that are declared secret, given or not."""
    places = set()
    for place, node in nodes(raw):
        try:
            names = secret_arguments(locate(node["_target_"], allowed))
        except TargetError:  # reported by the plan
            continue
        places |= {f"{place}.{name}" for name in names}
    return places


def _secrets_in_overrides(overrides: Sequence[str], places: set[str]) -> Iterator[Problem]:
    for override in overrides:
        key, _, value = override.partition("=")
        place = key.lstrip("+~")
        if place in places and value not in ("", "null"):
            # Sweepers put a backslash before signs of Hydra's grammar.
            wrong = secret_problems(value.replace("\\", "").strip("'\""), place)
            yield from (problem for problem in wrong if problem.kind == "secret")
        yield from _logins(place, value)


def _logins(place: str, leaf: Any) -> Iterator[Problem]:
    if not isinstance(leaf, str) or "://" not in leaf:
        return
    # Resolvers take literals, too: ${oc.decode:'https://…'}.
    texts = (without_interpolations(leaf, ""), _REFERENCE.sub("", leaf))
    if not all(NoUrlPassword().is_met_by(text) for text in texts):
        text = "a URL holds a name or password; secrets may only be given as ${oc.env:NAME}"
        yield Problem(place, "secret", text)
