"""Run a worker program in an env: a request as JSON goes in, a result as JSON comes back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.envs import CurrentEnv, Env
from sandbox.job import JobScope

_WORKERS_DIR = Path(__file__).resolve().parent.parent / "workers"

MODEL_PACKAGES: Mapping[str, Sequence[str]] = {
    "models": ("torch", "transformers", "peft", "accelerate")
}
"""``PACKAGES`` of components whose workers read or train models."""

# Defaults for every worker; a variable that the user has set keeps its value.
_VARIABLES = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",  # otherwise the log grows in blocks, and metrics arrive late
    "TRANSFORMERS_VERBOSITY": "error",
}


def run_worker(
    name: str,
    request: Mapping[str, Any],
    scope: JobScope,
    env: Env | None = None,
    *,
    num_processes: int = 1,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a worker program to its end and return its result.

    Args:
        name: Module in ``sandbox/workers``, whose ``main`` gets the request.
        request: JSON values and paths; relative paths become absolute. The worker finds in it also
            ``work_dir``, a private folder that is removed when the worker ends. A copy stays in the
            job's folder as ``<name>_request.json``.
        scope: Scope of the job; the worker's output goes to its log.
        env: Where the program runs; ``None`` is the launcher's own interpreter.
        num_processes: Above 1 torchrun starts as many, which find each other on this host.
        variables: Environment variables of the program.

    Returns:
        The dictionary that the worker's ``main`` returned; empty if it returned nothing.

    Raises:
        ProcessError: The worker failed; its first line names the cause.
    """
    import asyncio

    return asyncio.run(
        run_worker_async(
            name, request, scope, env, num_processes=num_processes, variables=variables
        )
    )


async def run_worker_async(
    name: str,
    request: Mapping[str, Any],
    scope: JobScope,
    env: Env | None = None,
    *,
    num_processes: int = 1,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Like :func:`run_worker`, for a caller that follows the log at the same time."""
    program = _WORKERS_DIR / f"{name}.py"
    request_path = scope.output_dir / f"{name}_request.json"
    with tempfile.TemporaryDirectory(dir=scope.output_dir.absolute(), prefix="work-") as work_dir:
        content = json.dumps({**request, "work_dir": work_dir}, indent=1, default=_path_text)
        request_path.write_text(content, encoding="utf-8")
        result_path = Path(work_dir) / "result.json"
        await (env or CurrentEnv()).run_cmd_async(
            ["python", *_launcher(num_processes), program, request_path, result_path],
            log_path=scope.log_path,
            variables={**_defaults(), **(variables or {})},
        )
        if not result_path.exists():  # a program that does not use worker_start
            return {}
        result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    return result


def _launcher(num_processes: int) -> list[str]:
    if num_processes == 1:
        return []
    # --standalone picks a free port, so that two launches on one machine do not collide.
    module = ["-m", "torch.distributed.run", "--standalone"]
    return [*module, f"--nproc-per-node={num_processes}"]


def _defaults() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in _VARIABLES.items()}


def _path_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"a worker's request cannot hold {value!r}")
