"""Run a worker program in an env: a request as JSON goes in, a result as JSON comes back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.envs import CurrentEnv, Env
from sandbox.job import JobScope
from sandbox.system import process
from sandbox.system.process import ProcessError

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
    "USE_HUB_KERNELS": "0",  # a model's config could name code on the hub
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
        ProcessError: The worker failed, or ended without a result; the first line names the cause.
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
    with _work_dir(scope.output_dir.absolute() / f"{name}_work") as work_dir:
        content = json.dumps({**request, "work_dir": work_dir}, indent=1, default=_path_text)
        request_path.write_text(content, encoding="utf-8")
        result_path = work_dir / "result.json"
        await (env or CurrentEnv()).run_cmd_async(
            ["python", *_launcher(num_processes), program, request_path, result_path],
            log_path=scope.log_path,
            variables={**_defaults(), **_search_path(env), **(variables or {})},
            is_worker=num_processes == 1,
        )
        if not result_path.exists():  # a library has called exit, with status 0
            cause = f"{name} ended with exit status 0 before it was done; log: {scope.log_path}"
            raise ProcessError(f"{cause}\n{process.tail(scope.log_path)}", 0)
        result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    return result


@contextmanager
def _work_dir(path: Path) -> Iterator[Path]:
    """Make an empty folder for the block, also where a killed launcher has left one."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _launcher(num_processes: int) -> list[str]:
    if num_processes == 1:
        return []
    # --standalone picks a free port, so that two launches on one machine do not collide.
    module = ["-m", "torch.distributed.run", "--standalone"]
    return [*module, f"--nproc-per-node={num_processes}"]


def _search_path(env: Env | None) -> dict[str, str]:
    """Let a worker import its siblings, and nothing from the working directory."""
    paths = [str(_WORKERS_DIR)]
    if env is None or isinstance(env, CurrentEnv):
        paths += filter(None, [os.environ.get("PYTHONPATH")])
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _defaults() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in _VARIABLES.items()}


def _path_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"a worker's request cannot hold {value!r}")
