"""Virtual environments: Python's venv, virtualenv, uv."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from sandbox.envs import DEFAULT_ROOT, managers
from sandbox.envs.dependencies import Dependencies
from sandbox.envs.indexes import Indexes
from sandbox.envs.isolated import IsolatedEnv
from sandbox.job import Secret


class VirtualEnv(IsolatedEnv):
    """A virtual environment, made by venv, virtualenv or uv.

    Args:
        env_name: Name of an env that is made here, the first part of its folder's; or the folder of one
            that is there, written with a ``/``, which is used as it is. ``None`` is the manager's name.
        env_manager: ``uv`` (fastest), ``virtualenv`` or ``venv`` (part of Python, slowest).
        dependencies: Packages to install, as pip names them.
        requirements_path: Requirements file to install.
        code_dir: Folder of a code base to install, editable: its code is used where it lies.
        python: Version of the interpreter, as 3.11, or its path; ``None`` is the launcher's own. uv may
            fetch one that is not there.
        index_url: Package index instead of the installer's own; without a password in it.
        extra_index_urls: Package indexes besides.
        find_links: Folders or pages of packages besides.
        index_credentials: ``user:password`` for ``index_url``, only as ``${oc.env:NAME}``.
        root: Folder of the envs that are made; another one is another installation, so it counts.
        install: Whether to install into an env that was there already.

    Raises:
        ValueError: An argument is none of what is expected, or an address holds a password.
    """

    MANAGERS = ("venv", "virtualenv", "uv")

    def __init__(
        self,
        env_name: str | None = None,
        env_manager: Literal["venv", "virtualenv", "uv"] = "uv",
        dependencies: Sequence[str] = (),
        requirements_path: Path | None = None,
        code_dir: Path | None = None,
        python: str | None = None,
        index_url: str | None = None,
        extra_index_urls: Sequence[str] = (),
        find_links: Sequence[str] = (),
        index_credentials: Secret | None = None,
        root: str = DEFAULT_ROOT,
        install: bool = False,
    ) -> None:
        super().__init__(
            env_name,
            env_manager,
            Dependencies(tuple(dependencies), requirements_path, code_dir),
            python,
            Indexes(index_url, tuple(extra_index_urls), tuple(find_links), index_credentials),
            root,
            install,
        )

    def check(self) -> None:
        super().check()
        self._interpreter()

    def _creation(self) -> list[str | Path]:
        program = managers.find(self.env_manager) or [self.env_manager]
        python = self._interpreter()
        if (
            self.env_manager == "uv"
        ):  # a pyproject.toml where a run is started says nothing about this env
            return [*program, "venv", "--no-project", "--python", python, self.folder]
        if self.env_manager == "virtualenv":
            return [*program, "--no-periodic-update", "--python", python, self.folder]
        return [*((python, "-m", "venv") if self.python_version else program), self.folder]

    def _installer(self) -> list[str | Path]:
        if self.env_manager == "uv":  # an env that uv made has no pip
            program = managers.find("uv") or ["uv"]
            return [*program, "pip", "install", "--python", self.python, *self.indexes.options()]
        return [self.python, "-m", "pip", "install", "--no-input", *self.indexes.options()]

    def _contents(self) -> Mapping[str, object]:
        return {"python": self.python_version or platform.python_version()}

    def _is_env(self, folder: Path) -> bool:
        return (folder / "pyvenv.cfg").is_file() and (folder / "bin" / "python").exists()

    def _interpreter(self) -> str:
        """The interpreter to make the env with; uv finds a version by itself.

        Raises:
            ValueError: There is none of that version.
        """
        wanted = self.python_version
        if wanted is None:
            return sys.executable
        if os.sep in wanted or self.env_manager == "uv":
            return wanted
        found = shutil.which(f"python{'.'.join(wanted.split('.')[:2])}")
        if found is None:
            raise ValueError(
                f"python: there is no python{wanted} on the PATH; there are: {', '.join(_versions())}. "
                "uv can fetch one: env_manager uv"
            )
        return found

    def _variables(self) -> dict[str, str | None]:
        mine: dict[str, str | None] = {"VIRTUAL_ENV": str(self.folder)}
        # What the launcher's own interpreter is told must not reach another one.
        others = ("PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
        return {**super()._variables(), **mine, **dict.fromkeys(others)}


def _versions() -> list[str]:
    names = {path.name for folder in os.get_exec_path() for path in Path(folder).glob("python3.*")}
    return sorted(name for name in names if name.removeprefix("python3.").isdigit()) or ["none"]
