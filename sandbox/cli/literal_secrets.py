"""Find secrets that are typed as literals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sandbox.components.allowed import TargetError, locate
from sandbox.components.checks import literal_secrets
from sandbox.components.permissions import without_interpolations
from sandbox.components.problem import Problem
from sandbox.components.signature import secret_arguments
from sandbox.components.tree import leaves, nodes
from sandbox.components.values import secret_problems
from sandbox.job import NoUrlPassword

_PRINTED_ONLY = ("help", "hydra_help", "overrides", "runtime")


def secrets_in_config(cfg: DictConfig, allowed: Sequence[str]) -> list[Problem]:
    """Return the secrets that a config holds as literals, in jobs that will not run too.

    Args:
        cfg: A composed config, nothing of which has been written or printed yet.
        allowed: Patterns of allowed class paths.
    """
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    hydra = raw.pop("hydra", {})
    typed = [
        *hydra.get("overrides", {}).get("task", []),
        *hydra.get("overrides", {}).get("hydra", []),
    ]
    params = (hydra.get("sweeper") or {}).get("params") or {}
    swept = [f"{key}={value}" for key, value in params.items()]
    kept = {key: value for key, value in hydra.items() if key not in _PRINTED_ONLY}
    found = [problem for key in raw for problem in literal_secrets(raw[key], key, allowed)]
    # Values of a sweep are in no config before its trials; launchers print them first.
    found += _secrets_in_overrides([*typed, *swept], _secret_places(raw, allowed))
    for place, leaf in leaves({**raw, "hydra": kept}):
        found += _logins(place, leaf)
    return found


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
    is_url = isinstance(leaf, str) and "://" in leaf
    if is_url and not NoUrlPassword().is_met_by(without_interpolations(leaf, "")):
        text = "a URL holds a name or password; secrets may only be given as ${oc.env:NAME}"
        yield Problem(place, "secret", text)
