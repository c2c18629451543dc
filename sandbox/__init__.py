"""Sandbox: data-model co-development experiments on Hydra.

The names that authors of components need, resolved when they are first used::

    from sandbox import BaseEvaluator, JobScope, score
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.envs import CurrentEnv as CurrentEnv
    from sandbox.envs import Env as Env
    from sandbox.evaluators import BaseEvaluator as BaseEvaluator
    from sandbox.executors import BaseDataExecutor as BaseDataExecutor
    from sandbox.executors import BaseModelExecutor as BaseModelExecutor
    from sandbox.executors import BaseRecipeExecutor as BaseRecipeExecutor
    from sandbox.hooks import BaseHook as BaseHook
    from sandbox.job import Fraction01 as Fraction01
    from sandbox.job import JobScope as JobScope
    from sandbox.job import NonEmptyText as NonEmptyText
    from sandbox.job import NonNegativeFloat as NonNegativeFloat
    from sandbox.job import NonNegativeInt as NonNegativeInt
    from sandbox.job import Outputs as Outputs
    from sandbox.job import PositiveFloat as PositiveFloat
    from sandbox.job import PositiveInt as PositiveInt
    from sandbox.job import Secret as Secret
    from sandbox.job import Watch as Watch
    from sandbox.job import parallel as parallel
    from sandbox.job import rule as rule
    from sandbox.job import score as score
    from sandbox.pools import BaseDataPoolManipulator as BaseDataPoolManipulator

_MODULES = {
    "sandbox.envs": ("CurrentEnv", "Env"),
    "sandbox.evaluators": ("BaseEvaluator",),
    "sandbox.executors": ("BaseDataExecutor", "BaseModelExecutor", "BaseRecipeExecutor"),
    "sandbox.hooks": ("BaseHook",),
    "sandbox.job": (
        "Fraction01",
        "JobScope",
        "NonEmptyText",
        "NonNegativeFloat",
        "NonNegativeInt",
        "Outputs",
        "PositiveFloat",
        "PositiveInt",
        "Secret",
        "Watch",
        "parallel",
        "rule",
        "score",
    ),
    "sandbox.pools": ("BaseDataPoolManipulator",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)  # noqa: PLE0605  built from the table above


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
