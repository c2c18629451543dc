"""The programs that make envs: which there are, where they are, and how one gets them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

REMEDIES: Mapping[str, str] = {
    "uv": "pip install uv",
    "virtualenv": "pip install virtualenv",
    "venv": "install Python's venv and ensurepip (Debian: apt-get install python3-venv)",
    "conda": "install Miniforge (https://conda-forge.org/download)",
    "mamba": "install Miniforge (https://conda-forge.org/download)",
    "micromamba": "install micromamba (https://mamba.readthedocs.io)",
}
"""Managers by name, quickest first, and how one gets each."""

_EXE_VARIABLES = {"conda": "CONDA_EXE", "mamba": "MAMBA_EXE", "micromamba": "MAMBA_EXE"}


def find(manager: str) -> list[str] | None:
    """The command that starts a manager, or ``None`` where it is not there."""
    if manager == "venv":
        return (
            [sys.executable, "-m", "venv"] if find_spec("venv") and find_spec("ensurepip") else None
        )
    if manager == "virtualenv" and find_spec("virtualenv"):
        return [sys.executable, "-m", "virtualenv"]
    found = shutil.which(manager) or _own(manager) or _named(manager)
    return [found] if found else None


def available() -> list[str]:
    """Names of the managers that are there."""
    return [manager for manager in REMEDIES if find(manager)]


def absence(manager: str) -> str:
    """What is to be told where a manager is not there."""
    return (
        f"{manager} is not there: {REMEDIES[manager]}, or choose another manager; "
        f"there are: {', '.join(available()) or 'none'}"
    )


def _own(manager: str) -> str | None:
    """A program that was installed beside our interpreter, whose folder need not be on the PATH."""
    path = Path(sys.executable).parent / manager
    return str(path) if os.access(path, os.X_OK) else None


def _named(manager: str) -> str | None:
    """Where the managers' own shell functions find them: ``conda`` is often no program on the PATH."""
    path = os.environ.get(_EXE_VARIABLES.get(manager, ""), "")
    return path if Path(path).name == manager and os.access(path, os.X_OK) else None
