"""Conda environments: conda, mamba, micromamba."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sandbox.envs import DEFAULT_ROOT, managers
from sandbox.envs.dependencies import Dependencies, refuse_secrets
from sandbox.envs.indexes import Indexes
from sandbox.envs.isolated import IsolatedEnv
from sandbox.job import Secret

# conda 26 tells formats by name and wants --format for others, which older versions do not know.
_KNOWN_NAMES = ("environment.yml", "environment.yaml")
_ENVS_VARIABLES = ("CONDA_ENVS_DIRS", "CONDA_ENVS_PATH")
_ROOT_VARIABLES = ("CONDA_ROOT", "MAMBA_ROOT_PREFIX")
_HOME_ROOTS = (
    ".conda",
    "miniforge3",
    "miniconda3",
    "anaconda3",
    "micromamba",
    ".local/share/mamba",
)


class CondaEnv(IsolatedEnv):
    """A conda environment, made by conda, mamba or micromamba.

    Args:
        env_name: Name of the env. Where conda knows an env of this name, or this is the folder of one,
            written with a ``/``, it is used as it is; else one is made here, and this is the first part of
            its folder's name. ``None`` is the manager's name.
        env_manager: The manager.
        dependencies: Python packages to install with pip, as pip names them.
        requirements_path: Requirements file to install with pip.
        code_dir: Folder of a code base to install with pip, editable.
        packages: Conda packages that the env is made with, besides python and pip.
        channels: Where conda packages are looked for, in this order and nowhere else; none are conda's own
            settings.
        env_file_path: Conda environment file that the env is made from, in place of ``python``,
            ``packages`` and ``channels``. Files that it refers to must be named absolutely.
        python: Version of the interpreter; ``None`` is the launcher's own, 3.11 for instance.
        index_url: Package index for pip instead of its own; without a password in it.
        extra_index_urls: Package indexes besides.
        find_links: Folders or pages of packages besides.
        index_credentials: ``user:password`` for ``index_url``, only as ``${oc.env:NAME}``.
        root: Folder of the envs that are made; another one is another installation, so it counts.
        install: Whether to install into an env that was there already.

    Raises:
        ValueError: An argument is none of what is expected, or arguments contradict each other.

    Source: the command lines of conda 26 and mamba 2. Commands run through the manager, because packages
    bring activation scripts; ``init`` is never needed.
    """

    MANAGERS = ("conda", "mamba", "micromamba")

    def __init__(
        self,
        env_name: str | None = None,
        env_manager: Literal["conda", "mamba", "micromamba"] = "conda",
        dependencies: Sequence[str] = (),
        requirements_path: Path | None = None,
        code_dir: Path | None = None,
        packages: Sequence[str] = (),
        channels: Sequence[str] = (),
        env_file_path: Path | None = None,
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
        if python is not None and os.sep in python:
            raise ValueError(
                f"python: {python!r} is a path; conda installs an interpreter: give its version"
            )
        if env_file_path and (packages or channels or python):
            raise ValueError("env_file_path: python, packages and channels stand in that file")
        refuse_secrets("channels", channels)
        self.packages = tuple(packages)
        self.channels = tuple(channels)
        self.env_file_path = env_file_path

    def check(self) -> None:
        super().check()
        if self.env_file_path and not self.env_file_path.is_file():
            raise ValueError(f"env_file_path: there is no file {self.env_file_path}")

    def _creation(self) -> list[str | Path]:
        program = managers.find(self.env_manager) or [self.env_manager]
        create = ["create", "--yes", "--quiet", "--prefix", str(self.folder)]
        if self.env_file_path:
            is_conda = self.env_manager == "conda"
            return [
                *program,
                *(["env"] if is_conda else []),
                *create,
                "--file",
                self._environment_file(),
            ]
        channels = [part for channel in self.channels for part in ("--channel", channel)]
        only = ["--override-channels"] if channels else []
        return [
            *program,
            *create,
            *channels,
            *only,
            f"python={self._python}",
            "pip",
            *self.packages,
        ]

    def _installer(self) -> list[str | Path]:
        pip = ["python", "-m", "pip", "install", "--no-input", *self.indexes.options()]
        return [*self._wrapped(pip)]

    def _contents(self) -> Mapping[str, object]:
        file = self.env_file_path
        if file:
            content = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""
            return {"file": f"{file} {content}".strip()}
        return {"python": self._python, "packages": [*self.packages], "channels": [*self.channels]}

    def _is_env(self, folder: Path) -> bool:
        return (folder / "conda-meta").is_dir()

    def _elsewhere(self) -> Path | None:
        if self._is_folder or not self.env_name or self._own_folder.exists():
            return super()._elsewhere()
        return next((folder for folder in _known_envs() if folder.name == self.env_name), None)

    def _wrapped(self, argv: list[str]) -> list[str]:
        program = managers.find(self.env_manager) or [self.env_manager]
        # Without these the manager stands between the program and its output, and input is cut off.
        plainly = ["--no-capture-output"] if self.env_manager == "conda" else ["-a", ""]
        return [*program, "run", *plainly, "--prefix", str(self.folder), *argv]

    def _variables(self) -> dict[str, str | None]:
        # A conda interpreter, other than a virtual environment's, also reads the user's own packages.
        apart: dict[str, str | None] = {"PYTHONNOUSERSITE": "1"}
        return {
            **super()._variables(),
            **apart,
            **dict.fromkeys(("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")),
        }

    @property
    def _python(self) -> str:
        return self.python_version or ".".join(platform.python_version_tuple()[:2])

    def _environment_file(self) -> Path:
        path = self.env_file_path or Path()
        if self.env_manager != "conda" or path.name in _KNOWN_NAMES:
            return path.absolute()
        folder = self._own_folder.with_name(f"{self._own_folder.name}.files")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(path, folder / "environment.yml"))


def _known_envs() -> Iterator[Path]:
    """Folders of the envs that conda and mamba would list, without starting either."""
    listed = Path.home() / ".conda" / "environments.txt"
    if listed.is_file():
        yield from (
            Path(line) for line in listed.read_text(encoding="utf-8").split("\n") if _is_env(line)
        )
    roots = [Path.home() / name for name in _HOME_ROOTS]
    roots += [Path(os.environ[name]) for name in _ROOT_VARIABLES if os.environ.get(name)]
    roots += [
        Path(command[0]).resolve().parents[1]
        for name in ("conda", "mamba")
        if (command := managers.find(name))
    ]
    folders = [root / "envs" for root in roots]
    folders += [
        Path(p) for name in _ENVS_VARIABLES for p in os.environ.get(name, "").split(os.pathsep) if p
    ]
    for folder in folders:
        yield from (path for path in folder.glob("*") if _is_env(str(path)))


def _is_env(text: str) -> bool:
    return bool(text.strip()) and (Path(text) / "conda-meta").is_dir()
