"""Virtual environments: Python's venv, virtualenv, uv."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sandbox.envs import managers
from sandbox.envs.isolated import IsolatedEnv

VirtualManager = Literal["venv", "virtualenv", "uv"]
MANAGERS: tuple[str, ...] = get_args(VirtualManager)


@dataclass(frozen=True, kw_only=True)
class VirtualEnv(IsolatedEnv):
    """Create a virtual environment with venv, virtualenv or uv.

    Arguments besides this are those of :class:`IsolatedEnv`.

    Args:
        env_manager: ``uv`` (fastest; downloads a Python version that is missing), ``virtualenv`` or
            ``venv`` (part of Python, slowest).
    """

    env_manager: VirtualManager = "uv"

    def check(self) -> None:
        super().check()
        self._base_interpreter()

    def creation(self, folder: Path) -> list[str | Path]:
        command = managers.command(self.env_manager)
        python = self._base_interpreter()
        if self.env_manager == "uv":
            # A pyproject.toml in the working directory has nothing to do with this env.
            return [*command, "venv", "--no-project", "--python", python, folder]
        if self.env_manager == "virtualenv":
            # Otherwise virtualenv downloads new versions of pip in the background.
            return [*command, "--no-periodic-update", "--python", python, folder]
        return [python, "-I", "-m", "venv", folder]

    def installer(self, folder: Path) -> list[str | Path]:
        python = self._interpreter(folder)
        options = self.indexes.options()
        if self.env_manager == "uv":  # its envs have no pip
            return [*managers.command("uv"), "pip", "install", "--python", python, *options]
        return [python, "-I", "-m", "pip", "install", "--no-input", *options]

    def contents(self) -> Mapping[str, object]:
        return {"python": self.python or platform.python_version()}

    def is_env(self, folder: Path) -> bool:
        return (folder / "pyvenv.cfg").is_file() and self._interpreter(folder).exists()

    def _base_interpreter(self) -> str:
        """Return the interpreter that creates the env, or for uv its version.

        Raises:
            ValueError: There is none of this version.
        """
        if self.python is None:
            return sys.executable
        if os.sep in self.python or self.env_manager == "uv":
            return self.python
        found = shutil.which(f"python{'.'.join(self.python.split('.')[:2])}")
        if found is None:
            available = ", ".join(managers.interpreters()) or "none"
            raise ValueError(
                f"python: there is no python{self.python} on the PATH; available: {available}. "
                "uv can download one: env_manager uv"
            )
        return found

    def _variables(self, folder: Path) -> dict[str, str | None]:
        own: dict[str, str | None] = {"VIRTUAL_ENV": str(folder)}
        # Settings of the launcher's own interpreter must not reach another one.
        removed = ("PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
        return {**super()._variables(folder), **own, **dict.fromkeys(removed)}
