"""Seconds to make an env with one small package through uv, against `uv venv` and `uv pip install` alone.

    python scripts/bench/envs.py            21 rounds
    python scripts/bench/envs.py --quick    3 rounds

Both do the same with the same warm cache, in turn; medians. Then the same env is asked for again, which
may start no program. Needs a package index, or what uv has in its cache: UV_OFFLINE=1.
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
    """Seconds of the two commands, their output in a log as ours is."""
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
    """Seconds of ``create`` and ``install_py_deps``; the second time in a folder nothing is to be done."""
    started = time.perf_counter()
    env = VirtualEnv(env_manager="uv", dependencies=[PACKAGE], root=str(root))
    env.create()
    env.install_py_deps()
    return time.perf_counter() - started


def main() -> None:
    """Print both medians, their ratio, and the seconds of asking again."""
    rounds = 3 if "--quick" in sys.argv else 21
    (uv,) = managers.find("uv") or sys.exit(managers.absence("uv"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare(uv, folder / "warm" / "env")
        times: dict[str, list[float]] = {"bare uv": [], "sandbox": [], "sandbox, again": []}
        for index in range(rounds):
            times["bare uv"].append(bare(uv, folder / f"bare_{index}" / "env"))
            times["sandbox"].append(ours(folder / f"ours_{index}"))
            times["sandbox, again"].append(ours(folder / f"ours_{index}"))
    medians = {what: statistics.median(seconds) for what, seconds in times.items()}
    for what, seconds in medians.items():
        print(f"{what:<16} {1000 * seconds:8.1f} ms")
    ratio = medians["sandbox"] / medians["bare uv"]
    print(
        f"ratio {ratio:.2f} (at most 1.5); again {1000 * medians['sandbox, again']:.1f} ms (at most 50)"
    )


if __name__ == "__main__":
    main()
