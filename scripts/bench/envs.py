"""Measure the creation of an env with one small package through uv, against bare uv.

    python scripts/bench/envs.py            21 rounds
    python scripts/bench/envs.py --quick    3 rounds

Bare uv is `uv venv` and `uv pip install`. Both run in turn with the same warm cache; medians are
printed. Then the same env is requested again, which starts no program. Needs a package index, or
the package in uv's cache (UV_OFFLINE=1).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sandbox.envs import managers
from sandbox.envs.virtual_env import VirtualEnv

PACKAGE = "six"


def bare(uv: str, folder: Path) -> float:
    """Return the seconds of the two commands, with their output in a log as ours."""
    started = time.perf_counter()
    folder.parent.mkdir(parents=True)
    with (folder.parent / "log").open("w") as log:
        for command in (
            [uv, "venv", "--python", sys.executable, folder],
            [uv, "pip", "install", "--python", folder / "bin" / "python", PACKAGE],
        ):
            subprocess.run(command, check=True, stdout=log, stderr=log)
    return time.perf_counter() - started


def ours(root: Path) -> float:
    """Return the seconds of ``create`` and ``install_py_deps``."""
    started = time.perf_counter()
    env = VirtualEnv(env_manager="uv", dependencies=[PACKAGE], root=str(root))
    env.create()
    env.install_py_deps()
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and their ratio."""
    rounds = 3 if "--quick" in sys.argv else 21
    (uv,) = managers.find("uv") or sys.exit(managers.absence("uv"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bare(uv, folder / "warm" / "env")
        times: dict[str, list[float]] = {"bare uv": [], "sandbox": [], "sandbox, again": []}
        for index in range(rounds):
            times["bare uv"].append(bare(uv, folder / f"bare_{index}" / "env"))
            times["sandbox"].append(ours(folder / f"ours_{index}"))
            times["sandbox, again"].append(ours(folder / f"ours_{index}"))
    medians = {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:<16} {milliseconds:8.1f} ms")
    ratio = medians["sandbox"] / medians["bare uv"]
    again = medians["sandbox, again"]
    print(f"ratio {ratio:.2f} (at most 1.5); again {again:.1f} ms (at most 50)")


if __name__ == "__main__":
    main()
