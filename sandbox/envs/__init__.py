"""Environments in which programs run: the family's base, and the launcher's own environment."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.system import process
from sandbox.system.process import ProcessError
from sandbox.system.wording import did_you_mean

DEFAULT_ROOT = "outputs/envs"
"""Folder for new envs, relative to the working directory."""

Command = str | Sequence[str | Path]
"""A program and its arguments. A string is split as a shell would split it; no shell is started."""


@dataclass(frozen=True, kw_only=True)
class Env(ABC):
    """An interpreter with its packages and variables, in which programs run.

    A component takes an env as an argument and calls :meth:`run_cmd`, or :meth:`run_cmd_async` to
    follow the log meanwhile. The first command creates the env and installs the packages that its
    arguments declare; later commands reuse it.

    Source: Data-Juicer Sandbox guide, Environment Manager; unlike it, commands are argument lists
    and no shell is started.
    """

    @abstractmethod
    def create(self) -> None:
        """Create the env unless it exists. Safe to repeat, also from several processes at once.

        Raises:
            ProcessError: The manager failed; the message holds its last lines.
            ValueError: A file, folder or interpreter that the arguments name is missing.
        """

    @abstractmethod
    def check_availability(self) -> bool:
        """Return True if the env's manager is installed on this machine."""

    @abstractmethod
    def exists(self) -> bool:
        """Return True if the env exists and is complete."""

    @abstractmethod
    def install_py_deps(self, deps: Path | str | Sequence[str]) -> None:
        """Install Python packages, except those that are recorded as installed.

        Args:
            deps: A requirements file, the folder of a code base (installed editable), or a list of
                packages as pip names them.

        Raises:
            ProcessError: The installer failed; the message holds its last lines.
            ValueError: ``deps`` is none of the three.
        """

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder of the env; its programs are in ``bin/``."""

    @property
    @abstractmethod
    def log_path(self) -> Path:
        """Log file of commands that name no other."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line for the plan: manager, folder, state and contents of the env."""

    @abstractmethod
    async def _ready(self, log_path: Path, echo: bool) -> Path:
        """Create the env and install the declared packages if necessary; return its folder."""

    def check(self) -> None:
        """Check that the env can be created on this machine.

        Raises:
            ValueError: It cannot.
        """
        if not self.check_availability():
            raise ValueError(f"{self}: its manager was not found")

    def run_cmd(
        self,
        cmd: Command,
        *,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        echo: bool = True,
    ) -> None:
        """Run a command in the env and wait for its end.

        Args:
            cmd: The command.
            cwd: Working directory; ``None`` keeps the current one.
            variables: Environment variables on top of those of this process.
            log_path: Log to which its output is appended; ``None`` takes :attr:`log_path`.
            echo: Also write the output to the console.

        Raises:
            ProcessError: The program does not exist, or its exit status is not 0.
            ValueError: The command is empty or cannot be split.
        """
        import asyncio

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
        is_worker: bool = False,
    ) -> None:
        """Run a command like :meth:`run_cmd`, for a caller that follows the log meanwhile.

        With ``is_worker`` the command is ``python`` with a worker of ours, and may be a fork of a
        process that has the worker's libraries loaded.
        """
        argv = _split(cmd)
        log_path = log_path or self.log_path
        folder = await self._ready(log_path, echo)
        environment = {**self._variables(folder), **(variables or {})}
        self._check_program(argv[0], environment["PATH"], folder)
        command = self._wrapped(argv, folder)
        await process.run_async(
            command,
            log_path=log_path,
            variables=environment,
            cwd=cwd,
            echo=echo,
            starter=self._worker_starter() if is_worker else None,
        )

    def _worker_starter(self) -> process.Starter | None:
        return None

    def _interpreter(self, folder: Path) -> Path:
        return folder / "bin" / "python"

    def _wrapped(self, argv: list[str], folder: Path) -> list[str]:
        """Return the command that is really started, with the interpreter's path for ``python``.

        The path also makes messages clearer, and a system's own interpreter may have no program
        of the name ``python`` beside it.
        """
        return [str(self._interpreter(folder)), *argv[1:]] if argv[0] == "python" else argv

    def _variables(self, folder: Path) -> dict[str, str | None]:
        """Return the variables of programs in the env; ``None`` removes a variable."""
        programs = str(self._interpreter(folder).parent)
        # First on the PATH, so that scripts of the env find their own interpreter.
        return {"PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])}

    def _check_program(self, name: str, search_path: str | None, folder: Path) -> None:
        if os.sep in name or shutil.which(name, path=search_path):
            return
        # Managers such as conda start the program themselves and would hide the cause.
        programs = self._interpreter(folder).parent
        names = [path.name for path in programs.glob("*")]
        raise ProcessError(
            f"{self}: there is no program {name!r}, neither in {programs} nor elsewhere on the "
            f"PATH; {did_you_mean(name, sorted(names))}"
        )


@dataclass(frozen=True, kw_only=True)
class CurrentEnv(Env):
    """The launcher's own interpreter and packages, into which nothing is installed; the default."""

    def create(self) -> None:
        """Do nothing: this env always exists."""

    def check_availability(self) -> bool:
        return True

    def exists(self) -> bool:
        return True

    def install_py_deps(self, deps: Path | str | Sequence[str]) -> None:
        """Refuse: an experiment must not change the packages of its own launcher.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"cannot install {deps!r} into the launcher's own env; choose another (env=uv), "
            f"or install it yourself: {sys.executable} -m pip install …"
        )

    @property
    def folder(self) -> Path:
        return Path(sys.prefix)

    @property
    def log_path(self) -> Path:
        return Path(DEFAULT_ROOT).absolute() / "current.log"

    def describe(self) -> str:
        return f"current: {sys.executable}"

    def __str__(self) -> str:
        return "env current"

    async def _ready(self, log_path: Path, echo: bool) -> Path:
        return self.folder

    def _worker_starter(self) -> process.Starter | None:
        from sandbox.system import warm

        return warm.start if warm.is_possible() else None

    def _interpreter(self, folder: Path) -> Path:
        return Path(sys.executable)

    def _check_program(self, name: str, search_path: str | None, folder: Path) -> None:
        # Not every interpreter has a program of the name "python" beside it.
        if name != "python":
            super()._check_program(name, search_path, folder)


def _split(cmd: Command) -> list[str]:
    try:
        argv = shlex.split(cmd) if isinstance(cmd, str) else [str(part) for part in cmd]
    except ValueError as error:
        raise ValueError(f"cmd: cannot split {cmd!r}: {error}; give a list of arguments") from error
    if not argv or not argv[0]:
        raise ValueError(f"cmd: {cmd!r} names no program")
    return argv
