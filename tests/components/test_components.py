"""Components by ``_target_``: which may be built, how values are checked and converted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import toys

from sandbox.components.allowed import TargetError, locate
from sandbox.components.build import build
from sandbox.components.job_results import output_kinds
from sandbox.components.problem import PlanError, Problem
from sandbox.components.tree import nodes
from sandbox.components.values import converted, value_problems
from sandbox.job import Fraction01, NonEmptyText, OutputKind, PositiveInt
from sandbox.planning.references import parse_all

ALLOWED = ("sandbox.executors.*", "toys.*")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "toys",
        "toysx.Rows",
        "sandbox.executors",
        "toys.process.run",
        "toys.sys.exit",
        "toys.note",
        "toys.WORKER",
        "toys.Any",
        "toys.BaseEvaluator",
        "toys.Rows.run",
        "toys..Rows",
        "toys.Rows ",
        "sandbox.executors.worker.subprocess.run",
        "sandbox.executors.Path",
        "",
        None,
        3,
    ],
    ids=repr,
)
def test_only_a_class_of_an_allowed_module_is_located(target: Any) -> None:
    with pytest.raises(TargetError):
        locate(target, ALLOWED)


def test_a_class_of_an_allowed_module_is_located() -> None:
    assert locate("toys.Rows", ALLOWED) is toys.Rows
    assert locate("toys.Rows", ["toys.Rows"]) is toys.Rows
    with pytest.raises(TargetError, match="not allowed"):
        locate("toys.Rows", ["toys", "toys.", "toys.Row"])


def test_build_makes_paths_and_inner_components(tmp_path: Path) -> None:
    first, second = tmp_path / "b.jsonl", tmp_path / "c.txt"
    for path in (first, second):
        path.touch()
    node = {
        "_target_": "toys.Reader",
        "dataset_path": str(first),
        "more": [str(second)],
        "options": {"a": [1, {"b": "c"}]},
    }
    reader = build(node, ALLOWED)
    assert reader.dataset_path == first and reader.more == [second]
    assert reader.options == {"a": [1, {"b": "c"}]} and type(reader.options) is dict
    value = build(
        {"_target_": "toys.Value", "value": [{"inner": {"_target_": "toys.Rows", "num_rows": 2}}]},
        ALLOWED,
    )
    assert isinstance(value.value[0]["inner"], toys.Rows)


@pytest.mark.parametrize(
    "value", ["${oc.env:HOME}", "${output:a.b}", {"deep": ["x ${now:%H}"]}], ids=repr
)
def test_build_resolves_no_interpolation(value: Any) -> None:
    assert build({"_target_": "toys.Value", "value": value}, ALLOWED).value == value


def test_build_reads_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYS_TOKEN", "abc")
    node = {"_target_": "toys.Login", "token": "${oc.env:TOYS_TOKEN}", "user": "${oc.env:HOME}"}
    login = build(node, ALLOWED)
    assert login.token == "abc" and login.user == "${oc.env:HOME}"


def test_build_checks_the_arguments() -> None:
    with pytest.raises(PlanError) as caught:
        build({"_target_": "toys.Rows", "num_rows": 0}, ALLOWED)
    assert [problem.kind for problem in caught.value.problems] == ["constraint"]


def test_build_refuses_a_target_inside_a_value() -> None:
    with pytest.raises(PlanError, match=r"os\.system"):
        build(
            {
                "_target_": "toys.Value",
                "value": {"a": [{"_target_": "os.system", "command": "true"}]},
            },
            ALLOWED,
        )


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, int, True),
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        ("1", int, False),
        (None, int, False),
        (None, int | None, True),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ([1, 2], Sequence[int], True),
        ([1, "2"], Sequence[int], False),
        ("12", Sequence[str], False),
        ([1], tuple[int, ...], True),
        ({"a": 1}, Mapping[str, int], True),
        ({"a": "b"}, Mapping[str, int], False),
        ([], Mapping[str, int], False),
        ({"a": {"b": [1]}}, Mapping[str, Any], True),
        ([["a", 1]], Sequence[Sequence[Any]], True),
        (3, Any, True),
        (3, str, False),
        (3, Path, False),
        ("", Path, False),
        ("${output:a.b}", int, True),
        ([1, "${output:a.b}"], Sequence[int], True),
        ("${previous:a.b,null}", Path | None, True),
        ("${output:a.b}", PositiveInt, True),
        (0, PositiveInt, False),
        (0, PositiveInt | None, False),
        (None, PositiveInt | None, True),
        (1, Fraction01, True),
        (1.5, Fraction01, False),
        (float("nan"), Fraction01, False),
        ("", NonEmptyText, False),
        ([1, 2], tuple[int, int], True),
        ([1], tuple[int, int], False),
        (1, Literal[True], False),
    ],
    ids=str,
)
def test_values_fit_annotations(value: Any, annotation: Any, fits: bool) -> None:
    problems = list(value_problems(parse_all(value), annotation, "here"))
    assert (problems == []) is fits, problems
    assert all(problem.where.startswith("here") for problem in problems)


def test_a_wrong_item_is_named_by_its_place() -> None:
    annotation = Path | Sequence[Mapping[str, PositiveInt]] | None
    (problem,) = value_problems([{"a": 1}, {"b": 0}], annotation, "here")
    assert problem == Problem("here.1.b", "constraint", "given 0, expected at least 1")


def test_a_number_where_text_is_expected_has_a_hint_about_quotes() -> None:
    (problem,) = value_problems(3.1, str | None, "env.python")
    assert str(problem).startswith("env.python: given 3.1, expected str | None; quote ")
    (problem,) = value_problems(3.1, int, "here")
    assert problem.hint == ""


def test_text_becomes_a_path_where_the_annotation_is_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").touch()
    assert converted("a", Path) == Path("a")
    assert converted("a", str) == "a"
    assert converted(["a", None], Sequence[Path | None]) == [Path("a"), None]
    assert converted({"x": "a"}, Mapping[str, Path]) == {"x": Path("a")}
    assert converted("there", Path | str) == Path("there")
    assert converted(3, float) == 3.0 and type(converted(3, float | None)) is float
    assert type(converted(3, int | float)) is int
    assert converted("Org/model", Path | str) == "Org/model"


def test_a_missing_file_is_named_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = value_problems(["no.jsonl"], Sequence[Path], "here")
    assert (problem.where, problem.kind) == ("here.0", "missing_path")
    assert str(tmp_path) in problem.hint
    assert list(value_problems("Org/model", Path | str, "here")) == []


def test_nodes_are_found_at_any_depth_with_their_places() -> None:
    config = {"_target_": "a.A", "x": [{"y": {"_target_": "b.B", "z": {"_target_": "c.C"}}}]}
    assert [place for place, _ in nodes(config, "job")] == ["job", "job.x.0.y", "job.x.0.y.z"]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, "number"),
        (float | None, "number"),
        (int | float, "number"),
        (Fraction01, "number"),
        (bool, "number"),
        (Mapping[str, float], "numbers"),
        (dict[str, Mapping[str, int]], "numbers"),
        (Path, "other"),
        (list[float], "other"),
        (str | None, "other"),
        (Mapping[str, Path], "other"),
        (Any, None),
        (object, None),
        (float | str, None),
        (Mapping[str, Any], None),
        (dict, None),
    ],
    ids=str,
)
def test_the_kind_of_an_output_is_known_from_its_annotation(
    annotation: Any, kind: OutputKind | None
) -> None:
    made = dataclasses.make_dataclass("Made", [("result", annotation)])
    assert output_kinds(made) == ({"result": kind} if kind else {})
