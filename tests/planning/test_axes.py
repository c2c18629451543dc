"""Refusals before anything runs: whatever cannot work along the axes of jobs."""

from __future__ import annotations

from typing import Any

import pytest
from toy_project import Project, data_job, experiment, merge

from sandbox.components.problem import Problem
from sandbox.planning.axes import Length
from sandbox.planning.job_map import MOST_ELEMENTS


def chain(**more: Any) -> dict[str, Any]:
    """Data → pools → a training of each pool with two seeds → its scores; ranking, if given."""
    training = {"_target_": "toys.Training", "dataset_path": "???"}
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "data": data_job("Rows"),
        "pools": (
            "data_pool_manipulation",
            {"manipulator": {"_target_": "toys.Pools", "dataset_path": "${output:data.path}"}},
        ),
        "train": (
            "train_model",
            {
                "executor": training,
                "map": {"executor": {"dataset_path": "${output:pools.paths}"}},
                "seeds": 2,
            },
        ),
        "score": (
            "evaluate_model",
            {
                "evaluator": {"_target_": "toys.Grade"},
                "map": {"eval_obj": "${output:train.checkpoint_path}"},
            },
        ),
        "next": ("general_data_executor", {"executor": {"_target_": "toys.Value"}}),
        "read": (
            "evaluate_data",
            {
                "eval_obj": None,
                "evaluator": {"_target_": "toys.Reader", "dataset_path": "${output:data.path}"},
            },
        ),
        "rank": (
            "data_pool_manipulation",
            {
                "manipulator": {
                    "_target_": "sandbox.pools.ranking.DataPoolRanking",
                    "dataset_paths": "${output:pools.paths}",
                    "metrics": "${output:score.accuracy}",
                }
            },
        ),
    }
    found = {name: (hook, merge(node, more.get(name, {}))) for name, (hook, node) in jobs.items()}
    whole = experiment(found, **more.get("experiment", {}))
    lists = whole["pipelines"]["main"]
    whole["pipelines"] = {"main": {"execution_jobs": [*jobs]}}
    assert set(lists) == {"execution_jobs", "evaluation_jobs"}
    return whole


def the_problem(project: Project, **more: Any) -> Problem:
    project.write("toy", chain(**more))
    (problem,) = project.problems("toy")
    return problem


FITTING: dict[str, dict[str, Any]] = {
    "the chain": {},
    "names and seeds of single values": {
        "rank": {
            "manipulator": {
                "dataset_paths": "${output:score.candidates}",
                "metrics": "${output:score.axes.seed}",
                "groups": "${output:score.axes.executor.dataset_path}",
            }
        }
    },
    "paths of elements": {
        "rank": {
            "manipulator": {
                "dataset_paths": "${output:score.details_path}",
                "metrics": "${output:train.axes.seed}",
            }
        }
    },
    "the mapped values": {
        "rank": {"manipulator": {"dataset_paths": "${output:train.elements.executor.dataset_path}"}}
    },
    "zipped jobs of one origin": {
        "next": {
            "map": {
                "executor": {
                    "value": "${output:train.checkpoint_path}",
                    "name": "${output:score.accuracy}",
                }
            }
        }
    },
    "one item of a list": {
        "read": {"evaluator": {"dataset_path": "${output:score.details_path.0}"}}
    },
    "deviations and values": {
        "rank": {
            "manipulator": {
                "metrics": "${output:score.accuracy_std}",
                "groups": "${output:score.accuracy_values}",
            }
        }
    },
    "a second seed": {
        "next": {"map": {"executor": {"value": "${output:train.checkpoint_path}"}}, "seeds": 2}
    },
}


@pytest.mark.parametrize("more", FITTING.values(), ids=FITTING)
def test_a_chain_that_fits_has_no_problem(project: Project, more: dict[str, Any]) -> None:
    project.write("toy", chain(**more))
    project.run("toy", "dry_run=true")


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, str], str]] = {
    "zipped with fewer": (
        {
            "next": {
                "map": {
                    "executor": {
                        "value": "${output:train.checkpoint_path}",
                        "name": "${output:pools.paths}",
                    }
                }
            }
        },
        ("jobs.next.map", "map"),
        "zipped lists have unequal lengths: executor.value has 2 × the length of"
        " ${output:pools.paths}, executor.name has the length of ${output:pools.paths}",
    ),
    "zipped with means": (
        {
            "next": {
                "map": {
                    "executor": {
                        "value": "${output:train.checkpoint_path}",
                        "name": "${output:score.accuracy_values}",
                    }
                }
            }
        },
        ("jobs.next.map", "map"),
        "axes that do not fit: executor.value has executor.dataset_path × seed (2),"
        " executor.name has executor.dataset_path",
    ),
    "a list of lists for one value each": (
        {"next": {"map": {"executor": {"value": [1, 2], "name": ["a", "b", "c"]}}}},
        ("jobs.next.map", "map"),
        "unequal lengths: executor.value has 2, executor.name has 3",
    ),
    "no map": (
        {"score": {"map": None, "eval_obj": "${output:train.checkpoint_path}"}},
        ("jobs.score.eval_obj", "wrong_type"),
        "${output:train.checkpoint_path} is a list over executor.dataset_path × seed (2), expected"
        " Path",
    ),
    "a list for a path": (
        {"read": {"evaluator": {"dataset_path": "${output:train.checkpoint_path}"}}},
        ("jobs.read.evaluator.dataset_path", "wrong_type"),
        "is a list over executor.dataset_path × seed (2), expected Path",
    ),
    "scores of every seed in a ranking": (
        {"rank": {"manipulator": {"metrics": "${output:score.details_path}"}}},
        ("jobs.rank.manipulator", "rule"),
        "expected lists of one length, got: dataset_paths has the length of ${output:pools.paths},"
        " metrics has 2 × the length of ${output:pools.paths}",
    ),
    "paths of every seed in a ranking": (
        {"rank": {"manipulator": {"dataset_paths": "${output:score.details_path}"}}},
        ("jobs.rank.manipulator", "rule"),
        "dataset_paths has 2 × the length of ${output:pools.paths}, metrics has the length of",
    ),
    "groups of another length": (
        {
            "score": {"map": {"eval_obj": ["${output:data.path}"] * 3}},
            "rank": {
                "manipulator": {
                    "dataset_paths": ["${output:data.path}"] * 3,
                    "groups": ["a", "b"],
                }
            },
        },
        ("jobs.rank.manipulator", "rule"),
        "dataset_paths has 3, metrics has 3, groups has 2",
    ),
    "a mean for a list": (
        {
            "train": {
                "map": None,
                "executor": {"dataset_path": "${output:data.path}"},
            }
        },
        ("jobs.rank.manipulator.metrics", "wrong_type"),
        "${output:score.accuracy} is the mean over seeds, expected Sequence[Any]",
    ),
    "no such axis": (
        {"next": {"executor": {"value": "${output:score.axes.dataset_path}"}}},
        ("jobs.next.executor.value", "reference"),
        "${output:score.axes.dataset_path} names no axis of score",
    ),
    "a map over a number": (
        {"next": {"map": {"executor": {"value": "${output:data.num_rows}"}}}},
        ("jobs.next.map.executor.value", "map"),
        "${output:data.num_rows} is no list: data has neither `map` nor `seeds`",
    ),
    "deviation of a path": (
        {"next": {"executor": {"value": "${output:train.checkpoint_path_std}"}}},
        ("jobs.next.executor.value", "reference"),
        "is produced by no earlier job",
    ),
    "too many": (
        {
            "next": {
                "map": {"executor": {"value": "${output:train.checkpoint_path}"}},
                "seeds": 60_000,
            }
        },
        ("jobs.next", "map"),
        "120000 × the length of ${output:pools.paths} elements (executor.dataset_path × seed (2)"
        f" × seed_2 (60000)), expected at most {MOST_ELEMENTS:,}",
    ),
    "a result with the name of an output": (
        {"next": {"executor": {"_target_": "toys.Named"}, "seeds": 2}},
        ("jobs.next", "component"),
        "its component has a result 'candidates', which every job with elements has",
    ),
    "an objective of a list": (
        {"experiment": {"objective": "score.accuracy"}},
        ("objective", "scalar"),
        "score.accuracy: score.accuracy is a list; use max(score.accuracy)",
    ),
}


@pytest.mark.parametrize(("more", "place", "text"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(
    project: Project, more: dict[str, Any], place: tuple[str, str], text: str
) -> None:
    problem = the_problem(project, **more)
    assert (problem.where, problem.kind) == place
    assert text in problem.text


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        (Length(2), Length(2), True),
        (Length(2), Length(3), False),
        (Length(2, ("a",)), Length(1, ("a",)), False),
        (Length(2, ("a",)), Length(1, ("b",)), True),
        (Length(6), Length(2, ("a",)), True),
    ],
    ids=str,
)
def test_lengths_from_the_same_list_are_compared(one: Length, other: Length, may: bool) -> None:
    assert one.may_equal(other) is may
