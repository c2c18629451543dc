"""Samplers and pruners, built and tried before a sweep starts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate

from sandbox.components.allowed import users_patterns
from sandbox.components.permissions import SEARCH_CLASSES
from sandbox.components.problem import PlanError
from sandbox.sweeper.options import Direction, option_problem
from sandbox.sweeper.space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study

_PATTERNS = users_patterns()
_SEEDED_BY_STUDY = ("QMCSampler", "GridSampler")
_STRIDE = 1_000_003


def build(node: Mapping[str, Any], option: str) -> Any:
    """Build a sampler or a pruner.

    Raises:
        PlanError: It does not take such arguments.
    """
    try:
        return instantiate(dict(node), _execution_whitelist_=(*SEARCH_CLASSES, *_PATTERNS))
    except Exception as error:  # Hydra's, around the error of whatever class
        raise PlanError([option_problem(option, str(error.__cause__ or error))]) from error


def is_grid(node: Mapping[str, Any]) -> bool:
    """Return True for a sampler that walks a grid."""
    return _class_name(node) == "GridSampler"


def sampler_for(study: Study, node: Mapping[str, Any], space: SearchSpace) -> Any:
    """Return the sampler of one driver.

    Each driver of a study draws numbers of its own, from the seed if there is one.
    """
    number = int(study.user_attrs.get("num_drivers", 0))
    study.set_user_attr("num_drivers", number + 1)
    node = dict(node)
    if node.get("seed") is not None and _class_name(node) not in _SEEDED_BY_STUDY:
        # With the same seed the next driver would draw the same points again.
        node["seed"] += _STRIDE * number
    built = build(node, "sampler")
    return built(space.grid()) if is_grid(node) else built


def try_sampler(
    node: Mapping[str, Any], space: SearchSpace, directions: Sequence[Direction]
) -> None:
    """Draw two points for no trial: some samplers import their libraries only then.

    Raises:
        PlanError: The sampler cannot draw from such a space.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    study = optuna.create_study(directions=directions)
    study.sampler = sampler_for(study, node, space)
    try:
        for _ in range(2):
            study.tell(study.ask(space.distributions), [0.0] * len(directions))
    except (ImportError, ValueError, RuntimeError) as error:
        # A finished grid wants to stop a loop that is not Optuna's.
        if "Study.stop" not in str(error):
            text = f"{_class_name(node)}: {error}"
            raise PlanError([option_problem("sampler", text)]) from error


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]
