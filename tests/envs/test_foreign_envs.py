"""Gifts of a checkout to an env: files of packages, and envs that are there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.components.checks import config_problems
from sandbox.envs import record
from sandbox.envs.asked_by_file import asked_by_file
from sandbox.envs.virtual_env import VirtualEnv

PLAIN = """
# a comment
--index-url https://example.org/simple
--extra-index-url=https://example.org/more
six>=1.16,<2  # behind a line
torch==2.5.0+cpu
uvicorn[standard] ; python_version < "3.12"
a==1 --hash=sha256:ab \\
    --hash=sha256:cd
-r more.txt
"""


def permissions(path: Path) -> set[str]:
    return {permission for permission, _ in asked_by_file(path)}


def test_names_of_packages_need_no_permission(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(PLAIN)
    (tmp_path / "more.txt").write_text("six")
    assert permissions(tmp_path / "requirements.txt") == set()


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-e.",
        "./evil",
        "evil/",
        "evil.whl",
        "evil.tar.gz",
        "six @ file:///evil",
        "git+https://evil.org/x",
        "https://evil.org/x.whl",
        "--pre -e ./evil",
        "--index-url=https://x -e ./evil",
        "-i https://x ./evil",
        "six --global-option=x",
        "six --config-settings=x",
        "-r missing.txt",
        "-r inner.txt",
        "-c inner.txt",
        "six \\\n -e ./evil",
    ],
)
def test_a_requirements_file_that_names_code_needs_permission(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"six\n{line}\n")
    (tmp_path / "inner.txt").write_text("-e ./evil\n")
    assert permissions(tmp_path / "requirements.txt") == {"code-folder"}


def test_a_variable_in_a_requirements_file_needs_permission(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("--index-url https://${TOKEN}@evil.org/simple\n")
    assert permissions(tmp_path / "requirements.txt") == {"credentials"}


@pytest.mark.parametrize(
    ("content", "permission"),
    [
        ({"name": "x", "channels": ["conda-forge"], "dependencies": ["python=3.11"]}, None),
        ({"dependencies": ["six", {"pip": ["six>=1"]}]}, None),
        ({"dependencies": [{"pip": ["-e ./evil"]}]}, "code-folder"),
        ({"dependencies": ["/evil/x.conda"]}, "code-folder"),
        ({"dependencies": ["https://evil.org/x.tar.bz2"]}, "code-folder"),
        ({"variables": {"LD_PRELOAD": "x.so"}}, "env-variables"),
        (["six"], "code-folder"),
        ({"include": "other.yml"}, "code-folder"),
    ],
)
def test_environment_files_of_conda(
    tmp_path: Path, content: object, permission: str | None
) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(json.dumps(content))
    assert permissions(path) == ({permission} if permission else set())


def test_an_env_that_somebody_else_made_needs_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    env = VirtualEnv(root=str(tmp_path))
    (env.own_folder / "bin").mkdir(parents=True)
    record.write(env.own_folder, "uv", [])
    node = {
        "_target_": "sandbox.envs.virtual_env.VirtualEnv",
        "env_manager": "uv",
        "root": str(tmp_path),
    }
    allowed = ("sandbox.*", f"outside-files:{tmp_path}")
    assert not [*config_problems(node, "env", allowed)]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of somebody else"))
    (problem,) = config_problems(node, "env", allowed)
    assert problem.where == "env.root" and 'SANDBOX_ALLOW="interpreter"' in problem.hint
    assert not [*config_problems(node, "env", (*allowed, "interpreter"))]
