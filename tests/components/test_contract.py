"""The contract of components: a class that breaks it is named in the plan."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge
from contract import problems_of
from toy_project import Project, experiment

from sandbox.components import checks
from sandbox.components.contract import contract_breaches
from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.executors.data_juicer import DataJuicerFastProbe
from sandbox.executors.internvl_captioning import InternVLCaptioning
from sandbox.job import JobFailed, JobScope, rule


@dataclass(frozen=True, kw_only=True)
class One:
    value: int


@dataclass(kw_only=True)
class Loose:
    value: int


@dataclass(frozen=True, kw_only=True)
class Good(BaseDataExecutor):
    size: int = 1

    def run(self, *, scope: JobScope) -> One:
        return One(value=self.size)


class NoArguments(BaseDataExecutor):
    def run(self, *, scope: JobScope) -> One:
        return One(value=1)


class OwnInit(BaseDataExecutor):
    def __init__(self, *, size: int = 1) -> None:
        self.size = size

    def run(self, *, scope: JobScope) -> One:
        return One(value=self.size)


@dataclass(frozen=True, kw_only=True)
class InitInside(Good):
    def __init__(self, *, size: int = 1) -> None:
        object.__setattr__(self, "size", size)


@dataclass(frozen=True)
class Positional(BaseDataExecutor):
    size: int = 1

    def run(self, *, scope: JobScope) -> One:
        return One(value=self.size)


@dataclass(frozen=True, kw_only=True)
class LooseResults(BaseDataExecutor):
    def run(self, *, scope: JobScope) -> Loose:
        return Loose(value=1)


@dataclass(frozen=True, kw_only=True)
class NoScope(BaseDataExecutor):
    def run(self, *, output_dir: Path) -> One:  # type: ignore[override]
        return One(value=1)


@dataclass(frozen=True, kw_only=True)
class NoRun(BaseDataExecutor):
    def rum(self, *, scope: JobScope) -> One:
        return One(value=1)


@dataclass(frozen=True, kw_only=True)
class Blocking(BaseModelExecutor):
    def _run(self, data: Any, *, scope: JobScope) -> None:  # type: ignore[override]
        return None

    def outputs(self, *, scope: JobScope) -> One:
        return One(value=1)


@dataclass(frozen=True, kw_only=True)
class MisspeltRule(Good):
    @rule
    def _fits(sise: int) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class CheckWithoutSelf(Good):
    def check() -> None:  # type: ignore[misc]
        return None


@dataclass(frozen=True, kw_only=True)
class UnknownAnnotation(Good):
    more: Annotated[Intt, Ge(2)] = 2  # type: ignore[name-defined]  # noqa: F821


class OwnReduction(NoArguments):
    def fingerprint_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments


@pytest.mark.parametrize(
    ("cls", "breach"),
    [
        (Good, ""),
        (NoArguments, ""),
        (OwnInit, "no frozen dataclass"),
        (InitInside, "__init__ of its own"),
        (Positional, "not keyword-only"),
        (LooseResults, "Loose, are no frozen dataclass"),
        (NoScope, "`scope`"),
        (NoRun, "lacks the methods run"),
        (Blocking, "not `async def`"),
        (MisspeltRule, "did you mean size?"),
        (CheckWithoutSelf, "@staticmethod"),
        (UnknownAnnotation, "Intt"),
        (OwnReduction, "`fingerprint_arguments` is not a @staticmethod"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_breach_of_the_contract_is_named(cls: type, breach: str) -> None:
    found = contract_breaches(cls)
    if breach:
        assert len(found) == 1 and breach in found[0]
    else:
        assert found == ()


def test_a_breach_is_a_problem_of_the_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "test_contract.*")
    job = ("general_data_executor", {"executor": {"_target_": "test_contract.MisspeltRule"}})
    project.write("toy", experiment({"mine": job}))
    (problem,) = project.problems("toy")
    assert (problem.kind, problem.where) == ("component", "jobs.mine.executor")


@pytest.mark.parametrize("value", ["many", 1.5, None, True])
def test_results_fit_their_declared_class(project: Project, value: Any) -> None:
    executor = {"_target_": "toys.Counted", "value": value}
    project.write("toy", experiment({"x": ("general_data_executor", {"executor": executor})}))
    with pytest.raises(JobFailed, match=r"x\.num_rows: given .*, expected int"):
        project.run("toy")
    assert not project.records("x")


def test_the_good_component_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Good().size = 2  # type: ignore[misc]


JUICER = "data_juicer is not installed; pip install 'sandbox[data]'"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, [JUICER]),
        ({"env": {"_target_": "sandbox.envs.CurrentEnv"}}, [JUICER]),
        ({"env": {"_target_": "sandbox.envs.virtual_env.VirtualEnv", "env_manager": "venv"}}, []),
        ({"env": "${output:make.env}"}, []),
    ],
    ids=["default", "current", "another", "later"],
)
def test_the_plan_names_the_extra_of_a_missing_package_unless_another_env_has_it(
    env: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    found = problems_of(DataJuicerFastProbe, **env)
    assert [problem.text for problem in found if problem.kind == "machine"] == expected


def test_several_missing_packages_of_an_extra_are_one_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    given = {"model_path": "${output:train.checkpoint_path}", "annotation_path": "${output:a.b}"}
    found = problems_of(InternVLCaptioning, image_dir="${output:a.c}", **given)
    assert [problem.text for problem in found] == [
        "torch, transformers, peft, accelerate are not installed; pip install 'sandbox[models]'"
    ]
