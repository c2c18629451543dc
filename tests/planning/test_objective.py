"""Objectives and targets: the small grammar, and when iterations stop."""

from __future__ import annotations

from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.job import Axis, JobSpec
from sandbox.planning.objective import Scalar, Target
from sandbox.running.context import Context

CONTEXT = Context(
    results={
        (1, "score"): {
            "CIDEr": 0.5,
            "list": [3.0, 1.0, 2.0],
            "nested": {"a": -1},
            "text": "x",
            "yes": True,
        }
    }
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("score.CIDEr", 0.5),
        (" score.CIDEr ", 0.5),
        ("score.nested.a", -1.0),
        ("score.list.1", 1.0),
        ("max(score.list)", 3.0),
        ("min( score.list )", 1.0),
        ("mean(score.list)", 2.0),
        ("best(score.list)", 3.0),
    ],
)
def test_a_scalar_is_an_output_or_an_aggregate(text: str, value: float) -> None:
    assert Scalar.parse(text).value(CONTEXT.lookup) == value


def test_the_best_value_of_a_lower_is_better_score_is_the_smallest() -> None:
    assert Scalar.parse("best(score.list)").value(CONTEXT.lookup, ["list"]) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "score",
        "score.a + 1",
        "max(score.a",
        "max(max(score.a))",
        "open('x')",
        "score.a()",
        "${output:a.b}",
    ],
)
def test_text_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="aggregates"):
        Scalar.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score.text", "'x'"),
        ("score.list", "max"),
        ("score.yes", "True"),
        ("max(score.CIDEr)", "list"),
        ("max(score.nested)", "list"),
    ],
)
def test_a_value_that_is_no_number_is_an_error_that_shows_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scalar.parse(text).value(CONTEXT.lookup)


@pytest.mark.parametrize(
    ("text", "mapped", "seeded", "fits"),
    [
        ("score.a", False, False, True),
        ("max(score.a)", False, False, True),
        ("score.a", True, False, False),
        ("score.a.0", True, False, True),
        ("score.a.0.easy", True, False, True),
        ("score.a.easy", True, False, False),
        ("max(score.a)", True, False, True),
        ("max(score.a.easy)", True, False, False),
        ("max(score.a.0)", True, False, True),
        ("score.a", False, True, True),
        ("score.a_std", False, True, True),
        ("max(score.a)", False, True, False),
        ("max(score.a_values)", False, True, True),
        ("score.a_values", False, True, False),
        ("score.a_values.1", False, True, True),
        ("max(score.a)", True, True, True),
        ("max(score.a_values)", True, True, False),
        ("max(score.a_values.0)", True, True, True),
        ("max(score.a.0)", True, True, False),
        ("max(score.elements.executor.seed)", True, False, True),
    ],
)
def test_the_shape_of_a_scalar_is_known_from_map_and_seeds(
    text: str, mapped: bool, seeded: bool, fits: bool
) -> None:
    axes = [Axis("x", 1)] if mapped else []
    axes += [Axis("seed", 2, is_seed=True)] if seeded else []
    spec = JobSpec(
        "score",
        "main",
        "evaluation_jobs",
        {},
        outputs=("a", "a_std", "a_values", "elements"),
        axes=tuple(axes),
    )
    assert (Scalar.parse(text).misfit(spec) == "") is fits


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("score.CIDEr >= 0.5", True),
        ("score.CIDEr > 0.5", False),
        ("score.CIDEr<=5e-1", True),
        ("score.CIDEr < 0.5", False),
        ("min(score.list) > -1", True),
        ("score.CIDEr < inf", True),
    ],
)
def test_a_target_is_a_scalar_a_comparison_and_a_number(text: str, met: bool) -> None:
    assert Target.parse(text).met(CONTEXT.lookup) is met


@pytest.mark.parametrize(
    "text",
    [
        "score.a",
        "score.a = 1",
        "score.a >= x",
        "0.5 <= score.a",
        "score.a >= 1 or True",
        "score.a >= nan",
    ],
)
def test_a_target_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(text)


def growing(**more: Any) -> dict[str, Any]:
    """``grow.value`` is 1, 2, 3, …; ``shrink.value`` is -1, -2, …"""
    jobs = {
        "grow": data_job("Add", start="${previous:grow.value, 0}"),
        "shrink": data_job("Add", start="${previous:shrink.value, 0}", by=-1),
    }
    return experiment(jobs, max_iterations=4, objective="grow.value", **more)


@pytest.mark.parametrize(
    ("targets", "iterations"),
    [
        (None, 4),
        ([], 4),
        (["grow.value >= 2"], 2),
        ("grow.value >= 2", 2),
        (["grow.value >= 2", "shrink.value <= -3"], 3),
        ({"all": ["grow.value >= 2", "shrink.value <= -3"]}, 3),
        ({"any": ["grow.value >= 2", "shrink.value <= -3"]}, 2),
        ({"any": "grow.value >= 3"}, 3),
        (["min(grow.values) <= -3"], 3),
        (["grow.value >= 100"], 4),
    ],
    ids=str,
)
def test_iterations_stop_when_targets_are_met(
    project: Project, targets: Any, iterations: int
) -> None:
    project.write("grow", growing(targets=targets))
    assert project.run("grow") == iterations
    assert len(project.infos()["main"]) == 2 * iterations


def test_a_target_that_is_no_number_fails_and_shows_its_value(project: Project) -> None:
    project.write("grow", growing(targets=["grow.values >= 1"]))
    with pytest.raises(RuntimeError, match=r"grow\.values: is \[1, -1\].*max"):
        project.run("grow")


def test_an_objective_inside_a_missing_output_lists_the_available_ones(
    project: Project,
) -> None:
    project.write("grow", growing() | {"objective": "grow.nested.deep.est"})
    with pytest.raises(RuntimeError, match=r"grow\.nested\.deep\.est.*grow\.nested"):
        project.run("grow")
