"""Outputs of finished jobs, and the references that resolve to them."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.planning.references import parse, parse_all
from sandbox.running.context import Context, OutputNotFound


@pytest.fixture
def context() -> Context:
    """The second iteration, in which ``train`` has finished."""
    first = {
        "loss": 2.0,
        "scores": {"CIDEr": 0.5},
        "paths": ["/a", "/b"],
        "none": None,
        "zero": 0.0,
    }
    return Context(iteration=2, results={(1, "train"): first, (2, "train"): {**first, "loss": 1.0}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${output:train.loss}", 1.0),
        ("${previous:train.loss,9}", 2.0),
        ("${output:train.scores.CIDEr}", 0.5),
        ("${output:train.paths}", ["/a", "/b"]),
        ("${output:train.paths.1}", "/b"),
        ("${output:train.none}", None),
        ("${output:train.zero}", 0.0),
        ("loss ${output:train.loss} in ${output:train.paths.0}", "loss 1.0 in /a"),
        ({"a": ["${output:train.loss}", {"b": "${output:train.zero}"}]}, {"a": [1.0, {"b": 0.0}]}),
    ],
    ids=str,
)
def test_a_reference_resolves_to_the_output_of_the_job(
    context: Context, text: Any, value: Any
) -> None:
    assert context.resolve(parse_all(text)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${output:train.los}", r"did you mean train\.loss\?.*train\.loss, train\.scores"),
        ("${output:trian.loss}", r"did you mean train\.loss\? available: train$"),
        ("${output:score.loss}", r"available: train$"),
        ("${output:train.paths.2}", r"available: train\.paths\.0, train\.paths\.1$"),
        ("${output:train.scores.CIDer}", r"did you mean train\.scores\.CIDEr\?"),
        ("${output:train.loss.x}", r"\{output:train\.loss\.x\}.*available: none$"),
    ],
)
def test_a_reference_to_a_missing_output_lists_the_available_ones(
    context: Context, text: str, message: str
) -> None:
    with pytest.raises(OutputNotFound, match=message):
        context.resolve(parse_all(text))


def test_the_first_iteration_has_initial_values() -> None:
    context = Context(results={(1, "base"): {"path": "/base"}})
    assert context.resolve(parse("${previous:train.path,[1,2]}")) == [1, 2]
    assert context.resolve(parse("${previous:train.path,null}")) is None
    initial = parse('${previous:train.path,"${output:base.path}"}')
    assert context.resolve(initial) == "/base"
