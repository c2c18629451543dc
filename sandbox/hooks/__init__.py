"""Hooks: the kinds of jobs, by the names of the guide. A hook passes arguments to its component.

This module holds the bases. The guide's table of usual job lists is ``USUAL_LISTS``; a hook may be
in any list, and the plan warns where it is in an unusual one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseRecipeExecutor
from sandbox.job import JobScope, rule
from sandbox.recipes import check_executor, check_recipe, check_recipe_file, load_recipe
from sandbox.recipes.code import recipe_permissions
from sandbox.recipes.refinement import Refinement, check_operators

Numbers = Sequence[float] | Sequence[Sequence[float]]
EvalObject = Path | Sequence[Path] | Numbers | Mapping[str, Path] | None
"""Object of an evaluation: a path, several, or numbers; ``None`` where the evaluator needs none."""


class BaseHook(ABC):
    """One job.

    ``RESULTS_FROM`` names the argument whose component makes the job's results. A hook without it
    makes them itself; the return annotation of its ``run`` is then the dataclass of the results.
    """

    RESULTS_FROM: ClassVar[str] = ""
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run(self, *, scope: JobScope) -> Any:
        """Do the job and return its results, a dataclass."""


class ComponentHook(BaseHook):
    """A job that only runs the component which ``RESULTS_FROM`` names."""

    def run(self, *, scope: JobScope) -> Any:
        return getattr(self, self.RESULTS_FROM).run(scope=scope)


@dataclass(frozen=True, kw_only=True)
class RecipeHook(BaseHook):
    """A job that reads a data recipe.

    Args:
        recipe: Data-Juicer's own keys, ``process`` as a mapping by operator or a list.
        recipe_path: A YAML recipe file of Data-Juicer; ``recipe`` then holds overrides of it.
    """

    recipe: Mapping[str, Any] | None = None
    recipe_path: Path | None = None

    _recipe_is_valid = rule(check_recipe)
    _file_is_valid = rule(check_recipe_file)
    _executor_is_installed = rule(check_executor)

    @staticmethod
    def permissions(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield place, permission and reason of what only a person may allow in the recipe."""
        yield from recipe_permissions(arguments.get("recipe"), arguments.get("recipe_path"))

    def load_recipe(self) -> dict[str, Any]:
        """Return the recipe with its overrides, ``process`` as a mapping by operator."""
        return load_recipe(self.recipe, self.recipe_path)


@dataclass(frozen=True, kw_only=True)
class RecipeExecutionHook(RecipeHook):
    """A job that hands a data set and a recipe to an executor; its numbers are watched.

    Args:
        dataset_path: Data set in Data-Juicer's format.
    """

    dataset_path: Path

    def _execute(self, executor: BaseRecipeExecutor, scope: JobScope) -> Any:
        results = executor.run(self.dataset_path, self.load_recipe(), scope=scope)
        scope.watch(vars(results))
        return results


@dataclass(frozen=True, kw_only=True)
class EvaluationHook(BaseHook):
    """A job that hands something to an evaluator; its scores are watched.

    Args:
        evaluator: The judge.
        eval_obj: What is judged: a path, several, or scores; ``None`` where nothing is needed.
        eval_type: One of the evaluator's ways to judge; ``None`` is its usual one.
    """

    RESULTS_FROM: ClassVar[str] = "evaluator"
    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("evaluation_jobs",)

    evaluator: BaseEvaluator
    eval_obj: EvalObject
    eval_type: str | None = None

    def run(self, *, scope: JobScope) -> Any:
        results = self.evaluator.run(self.eval_type, self.eval_obj, scope=scope)
        scope.watch(vars(results))
        return results


@dataclass(frozen=True, kw_only=True)
class RefinedRecipe:
    """Results of a refinement.

    Args:
        recipe: The refined recipe, for a job's ``recipe``.
        recipe_path: The same as a file that ``dj-process`` reads, ``process`` as a list.
        diff_path: Every change with its reason as a comment, then a unified diff; also in the log.
        bounds: Every changed bound, ``{operator.argument: {before, after, marks}}``; see ``Change``
            in ``sandbox.recipes.refinement``.
        num_tightened: Number of bounds that may remove more samples than before.
        num_loosened: Number of bounds that may remove fewer.
        num_clipped: Number of bounds that were clipped to the legal range.
        summary: The numbers in one sentence.
    """

    recipe: Mapping[str, Any]
    recipe_path: Path
    diff_path: Path
    bounds: Mapping[str, Any]
    num_tightened: int
    num_loosened: int
    num_clipped: int
    summary: str


@dataclass(frozen=True, kw_only=True)
class RefineRecipeHook(RecipeHook):
    """A job that sets the thresholds of a recipe from its data."""

    USUAL_LISTS: ClassVar[tuple[str, ...]] = ("refine_recipe_jobs",)

    @abstractmethod
    def refine(self, recipe: Mapping[str, Any]) -> Refinement:
        """Return the recipe with its new thresholds, and the reason for each."""

    def run(self, *, scope: JobScope) -> RefinedRecipe:
        refinement = self.refine(self.load_recipe())
        return RefinedRecipe(**refinement.write(scope.output_dir, scope.log_path))


def known_operators(
    argument: str,
    by_operator: Mapping[str, Any],
    recipe: Mapping[str, Any] | None,
    recipe_path: Path | None,
) -> None:
    """Check that a setting by operator names operators of the recipe.

    Raises:
        ValueError: It names another.
    """
    if by_operator:
        check_operators(argument, by_operator, load_recipe(recipe, recipe_path))
