"""Search spaces, and the overrides of their points."""

from __future__ import annotations

import pytest

from sandbox.components.problem import PlanError
from sandbox.sweeper.space import read_space


def test_the_command_line_counts_more_than_params() -> None:
    space = read_space(
        {"a": "interval(0, 1)", "b": "1,2", "c": None}, ["a=3", "b=5,6", "+experiment=x"], []
    )
    assert list(space.distributions) == ["b"]
    assert space.fixed == ("c=null", "a=3", "+experiment=x")
    assert space.overrides({"b": 5}) == ["b=5"]


def test_zipped_parameters_move_together() -> None:
    space = read_space({}, ["a=1,2,3", "b=range(10,13)", "c=x,y"], [["a", "b"]])
    assert list(space.distributions) == ["c", "a | b"]
    assert space.overrides({"a | b": "2 | 11", "c": "x"}) == ["a=2", "b=11", "c=x"]
    assert space.corners() == [{"c": "x", "a | b": "1 | 10"}, {"c": "y", "a | b": "3 | 12"}]


@pytest.mark.parametrize(
    ("arguments", "zipped", "text"),
    [
        (["a=1,2", "b=1,2,3"], [["a", "b"]], "as many values of each are needed: a has 2, b has 3"),
        (["a=interval(0,1)", "b=1,2"], [["a", "b"]], "must be lists of values, not intervals"),
        (["alpha=1,2"], [["alfa", "alpha"]], r"zip: alfa is not swept; did you mean alpha\?"),
        (["a=tag(log, interval(0, 1))"], [], "search space: a=tag"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(
    arguments: list[str], zipped: list[list[str]], text: str
) -> None:
    with pytest.raises(PlanError, match=text):
        read_space({}, arguments, zipped)


def test_a_grid_has_every_value() -> None:
    space = read_space({}, ["a=true,false", "b=range(0,6,2)"], [])
    assert space.grid() == {"a": [True, False], "b": [0, 2, 4]}
    with pytest.raises(PlanError, match="c is an interval"):
        read_space({}, ["c=interval(0,1)"], []).grid()
