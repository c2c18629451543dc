"""Start a worker program: its request as a JSON file, alone or under torchrun."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.envs import CurrentEnv, Env

_WORKERS_DIR = Path(__file__).resolve().parent.parent / "workers"


async def run_worker(
    name: str,
    request: Mapping[str, Any],
    *,
    output_dir: Path,
    log_path: Path,
    num_processes: int = 1,
    env: Env | None = None,
) -> None:
    """Write ``request`` into ``output_dir`` and run the worker program with it to its end.

    Args:
        name: Name of the worker's module in ``sandbox/workers``.
        request: What the worker reads; paths are written as strings.
        output_dir: Folder of the job.
        log_path: Where standard output and error go.
        num_processes: Above 1 torchrun starts that many, with a rendezvous of their own on this host.
        env: Where it runs; ``None`` is the launcher's own interpreter.

    Raises:
        ProcessError: The worker failed.
    """
    request_path = output_dir / f"{name}_request.json"
    request_path.write_text(json.dumps(request, indent=1, default=_path_text), encoding="utf-8")
    launcher: list[str | Path] = ["python"]
    if num_processes > 1:
        # --standalone picks a free port: two launches on one machine do not meet.
        launcher += [
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={num_processes}",
        ]
    command = [*launcher, _WORKERS_DIR / f"{name}.py", request_path]
    env = env or CurrentEnv()
    await env.run_cmd_async(command, log_path=log_path, variables={"PYTHONUNBUFFERED": "1"})


def _path_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a worker's request cannot hold {value!r}")
