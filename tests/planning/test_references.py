"""References to outputs: their grammar and their values."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from toy_project import Project, data_job, experiment

from sandbox.planning.references import Reference, Template, parse, parse_all, references
from sandbox.planning.resolvers import register_resolvers
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
    ("text", "said"),
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
    context: Context, text: str, said: str
) -> None:
    with pytest.raises(OutputNotFound, match=said):
        context.resolve(parse_all(text))


def test_the_first_iteration_has_initial_values() -> None:
    context = Context(results={(1, "base"): {"path": "/base"}})
    assert context.resolve(parse("${previous:train.path,[1,2]}")) == [1, 2]
    assert context.resolve(parse("${previous:train.path,null}")) is None
    initial = parse('${previous:train.path,"${output:base.path}"}')
    assert context.resolve(initial) == "/base"


def test_references_are_found_at_any_depth_and_in_initial_values() -> None:
    value = {"a": ["x ${output:one.a} y", '${previous:two.b.c,"${output:three.d}"}'], "b": 3}
    three = Reference("three", ("d",))
    assert list(references(parse_all(value))) == [
        Reference("one", ("a",)),
        Reference("two", ("b", "c"), previous=True, initial=three),
        three,
    ]


@pytest.mark.parametrize("text", ["plain", "${oc.env:HOME}", "$output:a.b", "{output:a.b}"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert parse(text) == text


def test_references_inside_a_text_make_a_template() -> None:
    a, c = Reference("a", ("b",)), Reference("c", ("d",))
    assert parse("${output:a.b} ${output:c.d}") == Template((a, " ", c))
    assert str(parse("x ${output:a.b} y")) == "x ${output:a.b} y"


@pytest.mark.parametrize("text", ["x ${previous:a.b, 1}", "${output:a.b, 3}", "${previous:a.b,x}"])
def test_a_reference_that_nothing_would_replace_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        parse(text)


def test_references_pass_through_interpolation_as_text() -> None:
    register_resolvers()
    cfg = OmegaConf.create(
        {
            "net": "big",
            "a": "${output:train.path}",
            "b": "${previous:train.path, ${net}}",
            "c": "${net}",
        }
    )
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert plain == {
        "net": "big",
        "a": "${output:train.path}",
        "b": '${previous:train.path,"big"}',
        "c": "big",
    }


@pytest.mark.parametrize(
    "written",
    [
        "${previous:grow.value,1}",
        "${previous:grow.value, 1}",
        "${previous:grow.value, ${first}}",
        "${previous:grow.value, ${output:base.value}}",
    ],
)
def test_initial_values_as_people_write_them(project: Project, written: str) -> None:
    jobs = {"base": data_job("Add", start=0), "grow": data_job("Add", start=written, by=10)}
    project.write("grow", experiment(jobs, max_iterations=2, first=1, objective="grow.value"))
    assert project.run("grow") == 21


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("before ${previous:grow.value, 1}", "previous"),
        ("${output:base.value, 3}", "output"),
        ("${output:}", "output"),
        ("${previous:grow, 1}", "${previous:grow}"),
    ],
)
def test_a_reference_that_cannot_be_read_is_a_problem_of_the_plan(
    project: Project, written: str, said: str
) -> None:
    jobs = {"base": data_job("Add"), "grow": data_job("Add", start=0, note=written)}
    project.write("grow", experiment(jobs))
    (problem,) = project.problems("grow")
    assert "jobs.grow" in problem.where and said in problem.text
    assert problem.kind in ("reference", "interpolation")
