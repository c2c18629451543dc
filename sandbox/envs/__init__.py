"""Environments: where programs run. This module holds the family's base, and the env that is always there."""

from __future__ import annotations

import asyncio
import difflib
import os
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.system import process
from sandbox.system.process import ProcessError

DEFAULT_ROOT = "outputs/envs"
"""Folder of the envs that are made, in the working directory."""

Command = str | Sequence[str | Path]
"""A program and its arguments. A string is split as a shell would split it, and no shell sees it."""


class Env(ABC):
    """Where programs run: an interpreter, its packages, and variables.

    A component takes an env as an argument and calls :meth:`run_cmd`, or :meth:`run_cmd_async` while it
    follows the log. Nothing is made before: the first command makes the env and installs what its
    arguments declare, in the job that runs the command; every other command finds it there.

    Source: Data-Juicer Sandbox guide, Environment Manager; unlike it, commands are argument lists and no
    shell is started.
    """

    @abstractmethod
    def create(self) -> None:
        """Make the env if it is not there. Safe to call again, and from several processes at once.

        Raises:
            ProcessError: The manager failed; its last lines are in the message.
            ValueError: What the arguments name is not there, or is none.
        """

    @abstractmethod
    def check_availability(self) -> bool:
        """Whether the env's manager is on this machine."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the env is there, whole: one whose making was cut short is not."""

    @abstractmethod
    def install_py_deps(self, deps: Path | str | Sequence[str]) -> None:
        """Install Python packages; what is recorded as installed is not installed again.

        Args:
            deps: A requirements file, the folder of a code base (installed editable), or a list of
                packages as pip names them.

        Raises:
            ProcessError: The installer failed; its last lines are in the message.
            ValueError: ``deps`` is none of the three.
        """

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder of the env; its programs are in ``bin/``."""

    @abstractmethod
    def describe(self) -> str:
        """What the plan shows: which env, where, whether it is to be made, and what will be in it."""

    @property
    def python(self) -> Path:
        """The env's interpreter."""
        return self.folder / "bin" / "python"

    @property
    @abstractmethod
    def log_path(self) -> Path:
        """Where output goes for which no other log is named."""

    def check(self) -> None:
        """Asked by the plan. Raises ValueError: the env cannot be made here."""
        if not self.check_availability():
            raise ValueError(f"{self}: its manager is not there")

    def run_cmd(
        self,
        cmd: Command,
        *,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        echo: bool = True,
    ) -> None:
        """Run a command in the env to its end.

        Args:
            cmd: The command.
            cwd: Working directory; ``None`` is the present one.
            variables: Environment variables for it, besides those of this process.
            log_path: Log that its output is appended to; ``None`` is :attr:`log_path`.
            echo: Whether its output also goes to the console.

        Raises:
            ProcessError: There is no such program, or its exit status is not 0.
            ValueError: The command is empty, or cannot be split.
        """
        asyncio.run(
            self.run_cmd_async(cmd, cwd=cwd, variables=variables, log_path=log_path, echo=echo)
        )

    async def run_cmd_async(
        self,
        cmd: Command,
        *,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        echo: bool = False,
    ) -> None:
        """Like :meth:`run_cmd`, for a caller that follows the log meanwhile."""
        argv = _split(cmd)
        log_path = log_path or self.log_path
        await self._prepare(log_path, echo)
        environment = {**self._variables(), **(variables or {})}
        self._check_program(argv[0], environment)
        command = self._wrapped(argv)
        await process.run_async(
            command, log_path=log_path, variables=environment, cwd=cwd, echo=echo
        )

    @abstractmethod
    async def _prepare(self, log_path: Path, echo: bool) -> None:
        """Make the env and install what its arguments declare, where that is not done."""

    def _wrapped(self, argv: list[str]) -> list[str]:
        """The command as it is started; ``python`` by its path, which messages then show.

        A system's interpreter may have no program ``python`` beside it.
        """
        return [str(self.python), *argv[1:]] if argv[0] == "python" else argv

    def _variables(self) -> dict[str, str | None]:
        """Variables that a program in the env gets; ``None`` takes one away."""
        return {
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        }

    def _check_program(self, name: str, environment: Mapping[str, str | None]) -> None:
        if os.sep in name or shutil.which(name, path=environment["PATH"]):
            return
        programs = [path.name for path in self.python.parent.glob("*")]
        near = ", ".join(difflib.get_close_matches(name, programs)) or "nothing of a similar name"
        raise ProcessError(
            f"{self}: there is no program {name!r}, neither in {self.python.parent} (it has: {near}) "
            "nor elsewhere on the PATH"
        )


class CurrentEnv(Env):
    """The launcher's own interpreter and packages; the default. Nothing is installed into it."""

    def create(self) -> None:
        """Nothing: it is there."""

    def check_availability(self) -> bool:
        """It is."""
        return True

    def exists(self) -> bool:
        """It does."""
        return True

    def install_py_deps(self, deps: Path | str | Sequence[str]) -> None:
        """Raises ValueError: what the launcher itself runs on is not changed by what it runs."""
        raise ValueError(
            f"cannot install {deps!r} into the launcher's own env; choose another (env=uv), or install it "
            f"yourself: {sys.executable} -m pip install …"
        )

    @property
    def folder(self) -> Path:
        return Path(sys.prefix)

    @property
    def python(self) -> Path:
        return Path(sys.executable)

    @property
    def log_path(self) -> Path:
        return Path(DEFAULT_ROOT).absolute() / "current.log"

    def describe(self) -> str:
        return f"current: {sys.executable}"

    def __str__(self) -> str:
        return "env current"

    async def _prepare(self, log_path: Path, echo: bool) -> None:
        """Nothing: it is there."""

    def _check_program(self, name: str, environment: Mapping[str, str | None]) -> None:
        if name != "python":
            super()._check_program(name, environment)


def _split(cmd: Command) -> list[str]:
    try:
        argv = shlex.split(cmd) if isinstance(cmd, str) else [str(part) for part in cmd]
    except ValueError as error:
        raise ValueError(f"cmd: cannot split {cmd!r}: {error}; give a list of arguments") from error
    if not argv or not argv[0]:
        raise ValueError(f"cmd: {cmd!r} names no program")
    return argv
