"""Envs in a folder of their own: created once and recorded."""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any

from sandbox.envs import DEFAULT_ROOT, Env, managers, record
from sandbox.envs.asked_by_file import asked_by_file
from sandbox.envs.dependencies import Dependencies
from sandbox.envs.indexes import Indexes
from sandbox.envs.installation import Installation
from sandbox.envs.operands import check_operands
from sandbox.job import PublicText, Secret, rule

log = getLogger(__name__)

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class IsolatedEnv(Env):
    """An env in a folder of its own; subclasses know the managers that create it.

    The folder is ``<root>/<env_name>-<hash>``. The hash covers the manager, the interpreter and
    everything that is installed, so other dependencies are another env. A lock file and a log lie
    beside the folder; ``sandbox_env.json`` and ``sandbox_env.lock.txt`` in it are written last. A
    folder without a record is incomplete and is created again.

    Args:
        env_name: First part of the folder's name, ``None`` for the manager's name; or the folder of
            an existing env, written with a ``/``, which is used as it is.
        env_manager: The manager.
        dependencies: Packages to install, as pip names them.
        requirements_path: Requirements file to install.
        code_dir: Folder of a code base to install, editable: its code is used in place.
        python: Version of the interpreter, such as 3.11, or its path; ``None`` takes the
            launcher's own.
        index_url: Package index instead of the installer's own; without a password in it.
        extra_index_urls: Further package indexes.
        find_links: Further folders or pages of packages.
        index_credentials: ``user:password`` for ``index_url``, only as ``${oc.env:NAME}``.
        root: Folder of the envs. It counts in a job's fingerprint, because another root is another
            installation.
        install: Also install into an env that existed before.
    """

    env_name: str | None = None
    env_manager: str
    dependencies: Sequence[PublicText] = ()
    requirements_path: Path | None = None
    code_dir: Path | None = None
    python: str | None = None
    index_url: PublicText | None = None
    extra_index_urls: Sequence[PublicText] = ()
    find_links: Sequence[PublicText] = ()
    index_credentials: Secret | None = field(default=None, repr=False)
    root: str = DEFAULT_ROOT
    install: bool = False

    @rule
    def _env_name_is_a_name_or_a_folder(env_name: str | None) -> None:
        if env_name is not None and not env_name.strip(". /"):
            raise ValueError(f"env_name {env_name!r} is neither a name nor a folder")

    @rule
    def _values_are_no_options(
        env_name: str | None,
        python: str | None,
        index_url: str | None,
        extra_index_urls: Sequence[str],
        find_links: Sequence[str],
        root: str,
    ) -> None:
        check_operands(
            {
                "env_name": env_name,
                "python": python,
                "index_url": index_url,
                "extra_index_urls": extra_index_urls,
                "find_links": find_links,
                "root": root,
            }
        )

    @rule
    def _python_is_a_version_or_a_path(python: str | None) -> None:
        if python is not None and not (_VERSION.fullmatch(python) or os.sep in python):
            raise ValueError(
                f"python {python!r} is neither a version (3.11) nor the path of an interpreter"
            )

    @rule
    def _credentials_have_an_index(index_credentials: str | None, index_url: str | None) -> None:
        if index_credentials and not (index_url or "").startswith(("https://", "http://")):
            # Without the URL, in which another login may be.
            raise ValueError("index_credentials need an index_url, https://… or http://…")

    @rule
    def _existing_env_stays_as_it_is(
        env_name: str | None,
        dependencies: Sequence[str],
        requirements_path: Path | None,
        code_dir: Path | None,
        install: bool,
    ) -> None:
        declared = Dependencies(tuple(dependencies), requirements_path, code_dir)
        if _is_folder(env_name) and not install and declared != Dependencies():
            raise ValueError(
                f"env_name {env_name} is an existing env, into which nothing is installed unless "
                f"install is true; given: {declared}"
            )

    @classmethod
    def permissions(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield what only the user can allow: place, permission and reason.

        Args:
            given: The arguments, plain data; some may not be known yet.
        """
        for name in ("requirements_path", "env_file_path"):
            path = given.get(name)
            if isinstance(path, (str, Path)) and Path(path).is_file():
                yield from ((name, *found) for found in asked_by_file(Path(path)))
        try:
            env = cls(**{name: _argument(name, value) for name, value in given.items()})
            found = None if env.existing_folder() else record.read(env.own_folder)
        except (TypeError, ValueError, OSError, AttributeError):  # reported by their own checks
            return
        if found and not found.is_own:
            text = f"{env.own_folder} is an env that somebody else has made"
            yield "root", "interpreter", text

    @abstractmethod
    def creation(self, folder: Path) -> list[str | Path]:
        """Return the command that creates the env."""

    @abstractmethod
    def installer(self, folder: Path) -> list[str | Path]:
        """Return the command that installs Python packages, without the packages."""

    @abstractmethod
    def contents(self) -> Mapping[str, object]:
        """Return what the manager itself puts into a new env, by name."""

    @abstractmethod
    def is_env(self, folder: Path) -> bool:
        """Return True if ``folder`` holds an env of this kind."""

    def check_availability(self) -> bool:
        return managers.find(self.env_manager) is not None

    def exists(self) -> bool:
        existing = self.existing_folder()
        return self.is_env(existing) if existing else record.read(self.own_folder) is not None

    def create(self) -> None:
        import asyncio

        asyncio.run(self._installation(self.log_path, echo=True).ensure(Dependencies()))

    def install_py_deps(self, deps: Path | str | Sequence[str] | None = None) -> None:
        """Install Python packages as the base does; ``None`` takes those that the env declares."""
        import asyncio

        wanted = self.declared if deps is None else Dependencies.of(deps)
        asyncio.run(self._installation(self.log_path, echo=True).ensure(wanted))

    def check(self) -> None:
        """Check that manager, interpreter, files and folders exist on this machine."""
        if not self.check_availability():
            raise ValueError(managers.absence(self.env_manager))
        # A version is left to the manager, which may download it.
        if self.python and os.sep in self.python and not Path(self.python).is_file():
            raise ValueError(f"python: there is no interpreter {self.python}")
        self.declared.check()
        if _is_folder(self.env_name):
            self.check_env(_absolute(self.env_name))

    def check_env(self, folder: Path) -> None:
        """Check that ``folder`` holds an env of this kind."""
        if not self.is_env(folder):
            raise ValueError(f"env_name: {folder} is not an env made by {self.env_manager}")

    @property
    def declared(self) -> Dependencies:
        """Python packages that the arguments ask for."""
        return Dependencies(tuple(self.dependencies), self.requirements_path, self.code_dir)

    @property
    def indexes(self) -> Indexes:
        """Package indexes of the installer."""
        return Indexes(
            self.index_url, self.extra_index_urls, self.find_links, self.index_credentials
        )

    @property
    def folder(self) -> Path:
        return self.existing_folder() or self.own_folder

    @property
    def own_folder(self) -> Path:
        """Folder in which this project creates the env."""
        # Without root and install: they do not change the contents.
        identity = {
            "manager": self.env_manager,
            "installed": sorted(self.declared.items()),
            "indexes": self.indexes.identity(),
            "contents": self.contents(),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        name = self.env_manager
        if self.env_name and not _is_folder(self.env_name):
            name = self.env_name
        return _absolute(self.root) / f"{name}-{digest}"

    def existing_folder(self) -> Path | None:
        """Return the folder of an env that this project did not create; ``None`` if it does."""
        return _absolute(self.env_name) if _is_folder(self.env_name) else None

    @property
    def log_path(self) -> Path:
        own = self.own_folder
        return own.with_name(f"{own.name}.log")

    def describe(self) -> str:
        if self.existing_folder():
            state = "exists, packages are added" if self.install else "exists, used as it is"
            contents = [str(self.declared)] if self.install else []
        else:
            found = record.read(self.own_folder)
            state = f"exists, packages: {found.num_packages}" if found else "to be created"
            parts = [f"{name} {value}" for name, value in self.contents().items() if value]
            contents = [*parts, str(self.declared)]
        shown = "; ".join(filter(None, contents))
        return f"{self.env_manager}: {self._place} ({state}): {shown}".rstrip(": ")

    def __str__(self) -> str:
        return f"env {self._place}"

    @property
    def _place(self) -> str:
        return str(self.existing_folder() or Path(self.root) / self.own_folder.name)

    def _installation(self, log_path: Path, echo: bool) -> Installation:
        own = self.own_folder
        return Installation(self, self.existing_folder() or own, own, log_path, echo)

    async def _ready(self, log_path: Path, echo: bool) -> Path:
        installation = self._installation(log_path, echo)
        folder = installation.folder
        if installation.is_ours or self.install:
            await installation.ensure(self.declared)
        else:
            # Packages of an env that somebody else maintains must not change by themselves.
            self.check_env(folder)
            if str(self.declared):
                log.warning(
                    "%s exists and is used as it is; install=true installs: %s", self, self.declared
                )
        if log_path != self.log_path:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            record.copy_locks(folder, log_path)
        return folder


def _argument(name: str, value: Any) -> Any:
    return Path(value) if name.endswith(("_path", "_dir")) and isinstance(value, str) else value


def _is_folder(env_name: str | None) -> bool:
    return env_name is not None and os.sep in env_name


def _absolute(path: str | None) -> Path:
    return Path(path or "").expanduser().absolute()
