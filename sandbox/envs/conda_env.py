"""Conda environments: conda, mamba, micromamba."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sandbox.envs import managers
from sandbox.envs.isolated import IsolatedEnv
from sandbox.envs.operands import check_operands, operand
from sandbox.job import PublicText, rule

CondaManager = Literal["conda", "mamba", "micromamba"]
MANAGERS: tuple[str, ...] = get_args(CondaManager)

# conda 26 recognises formats by these names and wants --format for others, which older versions
# do not know.
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


@dataclass(frozen=True, kw_only=True)
class CondaEnv(IsolatedEnv):
    """Create a conda environment with conda, mamba or micromamba.

    Arguments besides these are those of :class:`IsolatedEnv`; packages of ``dependencies``,
    ``requirements_path`` and ``code_dir`` are installed with pip.

    Args:
        env_name: An env that conda knows by this name is used as it is.
        packages: Conda packages of the new env, besides python and pip.
        channels: Channels in order of priority, instead of conda's own; empty keeps conda's own.
        env_file_path: Conda environment file, in place of ``python``, ``packages`` and
            ``channels``. Files that it refers to must have absolute paths.
        python: Version of the interpreter, not a path; ``None`` takes the launcher's, 3.11 for
            instance.

    Source: the command lines of conda 26 and mamba 2. Commands run through the manager, because
    packages bring activation scripts; ``init`` is never needed.
    """

    env_manager: CondaManager = "conda"
    packages: Sequence[str] = ()
    channels: Sequence[PublicText] = ()
    env_file_path: Path | None = None

    @rule
    def _python_is_no_path(python: str | None) -> None:
        if python is not None and os.sep in python:
            raise ValueError(
                f"python {python!r} is a path; conda installs an interpreter: give its version"
            )

    @rule
    def _packages_are_no_options(packages: Sequence[str], channels: Sequence[str]) -> None:
        check_operands({"packages": packages, "channels": channels})

    @rule
    def _environment_file_is_alone(
        env_file_path: Path | None,
        python: str | None,
        packages: Sequence[str],
        channels: Sequence[str],
    ) -> None:
        if env_file_path and (packages or channels or python):
            raise ValueError("python, packages and channels belong into the file env_file_path")

    def check(self) -> None:
        super().check()
        if self.env_file_path and not self.env_file_path.is_file():
            raise ValueError(f"env_file_path: {self.env_file_path} is not a file")

    def creation(self, folder: Path) -> list[str | Path]:
        command: list[str | Path] = [*managers.command(self.env_manager)]
        create = ["create", "--yes", "--quiet", "--prefix", str(folder)]
        if self.env_file_path:
            if self.env_manager == "conda":
                command.append("env")
            return [*command, *create, "--file", self._environment_file(self.env_file_path)]
        names = [operand("channels", channel) for channel in self.channels]
        channels = [part for name in names for part in ("--channel", name)]
        # Otherwise conda searches its default channels as well.
        only = ["--override-channels"] if channels else []
        version = f"python={self._python_version}"
        packages = [operand("packages", package) for package in self.packages]
        return [*command, *create, *channels, *only, version, "pip", *packages]

    def installer(self, folder: Path) -> list[str | Path]:
        pip = ["python", "-I", "-m", "pip", "install", "--no-input", *self.indexes.options()]
        return [*self._wrapped(pip, folder)]

    def contents(self) -> Mapping[str, object]:
        file = self.env_file_path
        if file:
            content = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""
            return {"file": f"{file} {content}".strip()}
        return {
            "python": self._python_version,
            "packages": [*self.packages],
            "channels": [*self.channels],
        }

    def is_env(self, folder: Path) -> bool:
        return _is_conda_env(folder)

    def existing_folder(self) -> Path | None:
        existing = super().existing_folder()
        if existing or not self.env_name or self.own_folder.exists():
            return existing
        return next((folder for folder in _known_envs() if folder.name == self.env_name), None)

    def _wrapped(self, argv: list[str], folder: Path) -> list[str]:
        # Otherwise the manager captures the program's output and closes its input.
        unbuffered = ["--no-capture-output"] if self.env_manager == "conda" else ["-a", ""]
        command = managers.command(self.env_manager)
        return [*command, "run", *unbuffered, "--prefix", str(folder), *argv]

    def _variables(self, folder: Path) -> dict[str, str | None]:
        # Unlike a virtual environment's, a conda interpreter also reads the user's own packages.
        apart: dict[str, str | None] = {"PYTHONNOUSERSITE": "1"}
        removed = dict.fromkeys(("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"))
        return {**super()._variables(folder), **apart, **removed}

    @property
    def _python_version(self) -> str:
        return self.python or ".".join(platform.python_version_tuple()[:2])

    def _environment_file(self, path: Path) -> Path:
        if self.env_manager != "conda" or path.name in _KNOWN_NAMES:
            return path.absolute()
        folder = self.own_folder.with_name(f"{self.own_folder.name}.files")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(path, folder / "environment.yml"))


def _known_envs() -> Iterator[Path]:
    """Find the envs that conda and mamba would list, without starting either."""
    listed = Path.home() / ".conda" / "environments.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8").split("\n")
        yield from filter(_is_conda_env, (Path(line) for line in lines if line.strip()))
    for folder in _envs_folders():
        yield from filter(_is_conda_env, folder.glob("*"))


def _envs_folders() -> Iterator[Path]:
    roots = [Path.home() / name for name in _HOME_ROOTS]
    roots += [Path(os.environ[name]) for name in _ROOT_VARIABLES if os.environ.get(name)]
    for command in filter(None, map(managers.find, ("conda", "mamba"))):
        roots.append(Path(command[0]).resolve().parents[1])
    yield from (root / "envs" for root in roots)
    for name in _ENVS_VARIABLES:
        folders = os.environ.get(name, "").split(os.pathsep)
        yield from (Path(folder) for folder in folders if folder)


def _is_conda_env(folder: Path) -> bool:
    return (folder / "conda-meta").is_dir()
