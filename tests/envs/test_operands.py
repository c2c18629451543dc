"""Values of an env that programs would read as options: refused, however they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract import problems_of

from sandbox.envs.conda_env import CondaEnv
from sandbox.envs.dependencies import Dependencies
from sandbox.envs.indexes import Indexes
from sandbox.envs.virtual_env import VirtualEnv

OPTIONS = [
    "-r/evil.txt",
    " -r/evil.txt",
    "\t--target=/somewhere",
    " --index-url=https://evil",
    "\n-e .",
    "\u00a0--pre",
    "\u2003-r/evil.txt",
    "",
    " ",
    "six\n--index-url=https://evil",
]


@pytest.mark.parametrize("text", OPTIONS)
@pytest.mark.parametrize(
    "argument", ["dependencies", "find_links", "extra_index_urls", "index_url", "python", "root"]
)
def test_no_value_of_a_virtual_env_is_read_as_an_option(argument: str, text: str) -> None:
    is_list = argument in ("dependencies", "find_links", "extra_index_urls")
    assert problems_of(VirtualEnv, **{argument: [text] if is_list else text})


@pytest.mark.parametrize("text", OPTIONS)
@pytest.mark.parametrize("argument", ["packages", "channels"])
def test_no_value_of_a_conda_env_is_read_as_an_option(argument: str, text: str) -> None:
    kinds = [problem.kind for problem in problems_of(CondaEnv, **{argument: [text]})]
    assert "rule" in kinds


def test_the_value_that_is_checked_is_the_one_that_is_passed_on() -> None:
    dependencies = Dependencies((" six>=1.16 ", "other"))
    assert dependencies.items() == {"six>=1.16": ["six>=1.16"], "other": ["other"]}
    indexes = Indexes(" https://a ", ["https://b "], [" folder"], None)
    assert indexes.options() == ["--extra-index-url=https://b", "--find-links=folder"]
    assert set(indexes.variables().values()) == {"https://a"}


@pytest.mark.parametrize("text", OPTIONS)
def test_packages_given_in_python_are_checked_too(text: str) -> None:
    with pytest.raises(ValueError, match="is not a package"):
        Dependencies((text,)).items()


@pytest.mark.parametrize("name", ["requirements_path", "code_dir"])
def test_a_path_is_not_read_as_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "--target=x").mkdir()
    arguments: dict[str, Any] = {name: Path("--target=x")}
    with pytest.raises(ValueError, match="without a leading -"):
        Dependencies(**arguments).check()
