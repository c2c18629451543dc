"""References to outputs: their grammar and their values."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from toy_project import Project, data_job, experiment

from sandbox.planning.references import Reference, Template, parse, parse_all, references
from sandbox.planning.resolvers import register_resolvers


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
    ("written", "message"),
    [
        ("before ${previous:grow.value, 1}", "previous"),
        ("${output:base.value, 3}", "output"),
        ("${output:}", "output"),
        ("${previous:grow, 1}", "${previous:grow}"),
    ],
)
def test_a_reference_that_cannot_be_read_is_a_problem_of_the_plan(
    project: Project, written: str, message: str
) -> None:
    jobs = {"base": data_job("Add"), "grow": data_job("Add", start=0, note=written)}
    project.write("grow", experiment(jobs))
    (problem,) = project.problems("grow")
    assert "jobs.grow" in problem.where and message in problem.text
    assert problem.kind in ("reference", "interpolation")
