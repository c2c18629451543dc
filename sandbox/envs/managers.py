"""Programs that create envs, and interpreters: where they are and how to get them."""

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
"""Installation advice by manager, fastest manager first."""

_EXE_VARIABLES = {"conda": "CONDA_EXE", "mamba": "MAMBA_EXE", "micromamba": "MAMBA_EXE"}


def find(manager: str) -> list[str] | None:
    """Return the command that starts a manager; ``None`` if it is not installed."""
    if manager == "venv":
        is_complete = find_spec("venv") and find_spec("ensurepip")
        return [sys.executable, "-m", "venv"] if is_complete else None
    # As a module of our interpreter: a program on the PATH may belong to another one.
    if manager == "virtualenv" and find_spec("virtualenv"):
        return [sys.executable, "-m", "virtualenv"]
    found = shutil.which(manager) or _beside_interpreter(manager) or _from_variable(manager)
    return [found] if found else None


def command(manager: str) -> list[str]:
    """Return the command that starts a manager; its bare name if it is not installed."""
    return find(manager) or [manager]


def absence(manager: str) -> str:
    """Return the message for a manager that is not installed."""
    available = [name for name in REMEDIES if find(name)]
    return (
        f"{manager} was not found: {REMEDIES[manager]}, or choose another manager; "
        f"available: {', '.join(available) or 'none'}"
    )


def interpreters() -> list[str]:
    """Return the names of the Python interpreters on the PATH, oldest version first."""
    names = {path.name for folder in os.get_exec_path() for path in Path(folder).glob("python3.*")}
    minors = (name.removeprefix("python3.") for name in names)
    return [f"python3.{minor}" for minor in sorted(int(text) for text in minors if text.isdigit())]


def _beside_interpreter(manager: str) -> str | None:
    """Find a program beside our interpreter, whose folder need not be on the PATH."""
    path = Path(sys.executable).parent / manager
    return str(path) if os.access(path, os.X_OK) else None


def _from_variable(manager: str) -> str | None:
    """Find a manager through its own variable: ``conda`` is often a shell function only."""
    path = os.environ.get(_EXE_VARIABLES.get(manager, ""), "")
    return path if Path(path).name == manager and os.access(path, os.X_OK) else None
