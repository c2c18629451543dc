"""Envs in a folder of their own: made once, installed into under a claim, recorded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from logging import getLogger
from pathlib import Path

from sandbox.envs import Env, managers, record
from sandbox.envs.dependencies import Dependencies, refuse_secrets
from sandbox.envs.indexes import Indexes
from sandbox.envs.record import EnvRecord
from sandbox.system import process
from sandbox.system.process import ProcessError

log = getLogger(__name__)

# For the programs that make envs: what the launcher's own interpreter is told is not for another one.
_APART: Mapping[str, str | None] = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


class IsolatedEnv(Env):
    """What envs of all managers share: where they are, what they hold, and that it is done once.

    The folder is ``<root>/<env_name>-<hash>``, the hash being of the manager, the interpreter, and
    everything that is installed: other dependencies are another env. Besides it lie a claim and a log;
    in it ``sandbox_env.json`` and ``sandbox_env.lock.txt``, written last. A folder without a record was
    cut short, and is made again.
    """

    MANAGERS: tuple[str, ...] = ()

    def __init__(
        self,
        env_name: str | None,
        env_manager: str,
        declared: Dependencies,
        python: str | None,
        indexes: Indexes,
        root: str,
        install: bool,
    ) -> None:
        if env_manager not in self.MANAGERS:
            raise ValueError(f"env_manager: {env_manager!r} is none of {', '.join(self.MANAGERS)}")
        if python is not None and not (_VERSION.fullmatch(python) or os.sep in python):
            raise ValueError(
                f"python: {python!r} is neither a version (3.11) nor an interpreter's path"
            )
        if env_name is not None and not env_name.strip(". /"):
            raise ValueError(f"env_name: {env_name!r} is neither a name nor a folder")
        indexes.check()
        refuse_secrets("dependencies", declared.packages)
        self.env_name = env_name
        self.env_manager = env_manager
        self.python_version = python
        self.indexes = indexes
        self.root = root
        self.install = install
        self.declared = declared
        if self._is_folder and str(declared) and not install:
            raise ValueError(
                f"env_name: {env_name} is an env of its own, into which nothing is installed unless install "
                f"is true; given: {declared}"
            )

    @abstractmethod
    def _creation(self) -> list[str | Path]:
        """The command that makes the env."""

    @abstractmethod
    def _installer(self) -> list[str | Path]:
        """The command that installs Python packages, up to what is to be installed."""

    @abstractmethod
    def _contents(self) -> Mapping[str, object]:
        """What is in the env from the start, of the manager's own kind."""

    @abstractmethod
    def _is_env(self, folder: Path) -> bool:
        """Whether a folder holds an env of this kind."""

    def check_availability(self) -> bool:
        return managers.find(self.env_manager) is not None

    def exists(self) -> bool:
        elsewhere = self._elsewhere()
        return self._is_env(elsewhere) if elsewhere else record.read(self.folder) is not None

    def create(self) -> None:
        asyncio.run(self._ensure(Dependencies(), self.log_path, echo=True))

    def install_py_deps(self, deps: Path | str | Sequence[str] | None = None) -> None:
        """As the guide has it; ``None`` is what the arguments declare."""
        wanted = self.declared if deps is None else Dependencies.of(deps)
        asyncio.run(self._ensure(wanted, self.log_path, echo=True))

    def check(self) -> None:
        """Raises ValueError: no manager, no interpreter, or what is to be installed is not there."""
        if not self.check_availability():
            raise ValueError(managers.absence(self.env_manager))
        if (
            self.python_version
            and os.sep in self.python_version
            and not Path(self.python_version).is_file()
        ):
            raise ValueError(f"python: there is no interpreter {self.python_version}")
        self.declared.check()
        if self._is_folder:
            self._check_env(Path(self.env_name or "").expanduser().absolute())

    @property
    def folder(self) -> Path:
        return self._elsewhere() or self._own_folder

    @property
    def log_path(self) -> Path:
        return self._own_folder.with_name(f"{self._own_folder.name}.log")

    def describe(self) -> str:
        if self._elsewhere():
            state = "there, installed into" if self.install else "there, used as it is"
            contents = str(self.declared) if self.install else ""
        else:
            found = record.read(self._own_folder)
            state = f"there, packages: {found.num_packages}" if found else "to be made"
            parts = [f"{key} {value}" for key, value in self._contents().items() if value]
            contents = "; ".join([*parts, *filter(None, [str(self.declared)])])
        return f"{self.env_manager}: {self._place} ({state}): {contents}".rstrip(": ")

    def __str__(self) -> str:
        return f"env {self._place}"

    @property
    def _place(self) -> str:
        return str(self._elsewhere() or Path(self.root) / self._own_folder.name)

    @property
    def _is_folder(self) -> bool:
        """Whether ``env_name`` is a folder elsewhere, not a name."""
        return self.env_name is not None and os.sep in self.env_name

    def _elsewhere(self) -> Path | None:
        """The env's folder, if it is not one that is made here."""
        return Path(self.env_name or "").expanduser().absolute() if self._is_folder else None

    @cached_property
    def _own_folder(self) -> Path:
        identity = {
            "manager": self.env_manager,
            "installed": sorted(self.declared.items()),
            "indexes": self.indexes.identity(),
            "contents": self._contents(),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        name = self.env_name if self.env_name and not self._is_folder else self.env_manager
        return Path(self.root).expanduser().absolute() / f"{Path(name).name}-{digest}"

    def _check_env(self, folder: Path) -> None:
        if not self._is_env(folder):
            raise ValueError(f"env_name: {folder} is no env that {self.env_manager} made")

    async def _prepare(self, log_path: Path, echo: bool) -> None:
        elsewhere = self._elsewhere()
        if elsewhere is None or self.install:
            await self._ensure(self.declared, log_path, echo)
        else:
            self._check_env(elsewhere)
            if str(self.declared):
                log.warning(
                    "%s is there and used as it is; install=true installs: %s", self, self.declared
                )
        if log_path != self.log_path:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            record.note(self.folder, log_path)

    async def _ensure(self, wanted: Dependencies, log_path: Path, echo: bool) -> None:
        """Make the env if it is not there, and install what is not recorded as installed."""
        items = wanted.items()
        if self._has(items):
            return
        self.check()
        async with record.claimed(self._own_folder):
            if self._has(items):  # another process was quicker
                return
            found = record.read(self.folder) or await self._begin(log_path, echo)
            missing = {key: argv for key, argv in items.items() if key not in found.asked}
            if missing:
                await self._add(found, missing, log_path, echo)

    def _has(self, items: Mapping[str, list[str]]) -> bool:
        elsewhere = self._elsewhere()
        if elsewhere:
            self._check_env(elsewhere)
        found = record.read(self.folder)
        asked = set(found.asked) if found else set()
        return (found is not None or elsewhere is not None) and set(items) <= asked

    async def _begin(self, log_path: Path, echo: bool) -> EnvRecord:
        """Make the env; one that was made elsewhere is taken up as it is."""
        elsewhere = self._elsewhere()
        if elsewhere:
            return EnvRecord(str(elsewhere), self.env_manager, [], 0)
        if self.folder.exists():
            log.info("%s: was cut short, and is made again", self)
            shutil.rmtree(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        await self._start(f"{self}: making it", self._creation(), log_path, echo)
        return record.write(self.folder, self.env_manager, [])

    async def _add(
        self, found: EnvRecord, missing: Mapping[str, list[str]], log_path: Path, echo: bool
    ) -> None:
        """Install what is missing. Packages installed before are named again, so that they stay fitting."""
        before = [key for key in found.asked if not key.startswith("-")]
        folder, untouched = self.folder, record.snapshot(self.folder)
        record.forget(folder)
        arguments = [part for argv in missing.values() for part in argv]
        what = f"{self}: installing {', '.join(' '.join(argv) for argv in missing.values())}"
        try:
            await self._start(what, [*self._installer(), *before, *arguments], log_path, echo)
        except ProcessError:
            if record.snapshot(folder) == untouched:
                record.write(folder, self.env_manager, found.asked)
            raise
        record.write(folder, self.env_manager, [*found.asked, *missing])

    async def _start(
        self, what: str, argv: Sequence[str | Path], log_path: Path, echo: bool
    ) -> None:
        log.info("%s", what)
        started = time.monotonic()
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("a", encoding="utf-8") as file:
            file.write(f"{what}\n$ {' '.join(map(str, argv))}\n")
        began = log_path.stat().st_size
        plainly = echo and not self.indexes.credentials
        variables = {**_APART, **self.indexes.variables()}
        try:
            await process.run_async(argv, log_path=log_path, variables=variables, echo=plainly)
        except ProcessError as error:
            said = [line for line in str(error).splitlines() if line.lower().startswith("error")]
            cause = f"{said[-1]}\n" if said else ""  # uv's hints come after it
            message = self.indexes.hidden(f"{what} failed: {cause}{error}")
            raise ProcessError(
                message, error.returncode
            ) from None  # whose own words may hold a password
        finally:
            self.indexes.hide(log_path, began)
        log.info("%s: done in %.1f s", self, time.monotonic() - started)
