"""Components by ``_target_``: which may be built, how values are checked and become what classes take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import toys

from sandbox.components.allowed import TargetError, locate
from sandbox.components.build import build, construction_problems
from sandbox.components.checks import as_annotated, nodes, value_problems

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


def test_build_makes_paths_and_inner_components() -> None:
    node = {
        "_target_": "toys.Reader",
        "dataset_path": "a/b.jsonl",
        "more": ["c.txt"],
        "options": {"a": [1, {"b": "c"}]},
    }
    reader = build(node, ALLOWED)
    assert reader.dataset_path == Path("a/b.jsonl") and reader.more == [Path("c.txt")]
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
    with pytest.raises(ValueError, match="interpolation"):
        build({"_target_": "toys.Value", "value": value}, ALLOWED)


def test_build_refuses_a_target_inside_a_value() -> None:
    with pytest.raises(TargetError, match=r"os\.system"):
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
    ],
    ids=str,
)
def test_values_fit_annotations(value: Any, annotation: Any, fits: bool) -> None:
    problems = value_problems(value, annotation, "here")
    assert (problems == []) is fits, problems
    assert all(problem.startswith("here: ") for problem in problems)


def test_a_number_where_text_is_expected_is_told_to_be_quoted() -> None:
    (problem,) = value_problems(3.1, str | None, "env.python")
    assert problem.startswith("env.python: given 3.1, expected str | None; quote ")
    (problem,) = value_problems(3.1, int, "here")
    assert "quote" not in problem


def test_paths_are_made_where_the_annotation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").touch()
    assert as_annotated("a", Path) == Path("a")
    assert as_annotated("a", str) == "a"
    assert as_annotated(["a", None], Sequence[Path | None]) == [Path("a"), None]
    assert as_annotated({"x": "a"}, Mapping[str, Path]) == {"x": Path("a")}
    assert as_annotated("there", Path | str) == Path("there")
    assert as_annotated("Org/model", Path | str) == "Org/model"


def test_a_missing_file_is_named_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = value_problems(["no.jsonl"], Sequence[Path], "here")
    assert "no.jsonl does not exist" in problem and str(tmp_path) in problem
    assert value_problems("Org/model", Path | str, "here") == []


def test_nodes_are_found_at_any_depth_with_their_places() -> None:
    config = {"_target_": "a.A", "x": [{"y": {"_target_": "b.B", "z": {"_target_": "c.C"}}}]}
    assert [place for place, _ in nodes(config, "job")] == ["job", "job.x.0.y", "job.x.0.y.z"]


def test_a_component_is_quoted_in_its_own_words(tmp_path: Path) -> None:
    """Not in those of the error that it was raised from."""
    target = "sandbox.pools.construction.DataPoolConstruction"
    node = {"_target_": target, "dataset_path": str(tmp_path), "split_ratios": ["a/b"]}
    (problem,) = construction_problems(node, "jobs.split", ["sandbox.pools.*"])
    assert problem.startswith("jobs.split: split_ratios: expected numbers or fractions")
