"""An executor that trains with a library of its env's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import run_worker_async
from sandbox.executors import BaseModelExecutor
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class LibraryResult:
    """Result of the training.

    Args:
        path: File with the library's version and the env's folder.
    """

    path: Path


@dataclass(frozen=True, kw_only=True)
class LibraryTraining(BaseModelExecutor):
    """Run the tests' worker in an env, as the executors of InternVL run theirs."""

    env: Env = field(default_factory=CurrentEnv)

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        request = {"result_path": scope.output_dir / "result.txt"}
        await run_worker_async("env_worker", request, scope, self.env)

    def outputs(self, *, scope: JobScope) -> LibraryResult:
        return LibraryResult(path=scope.output_dir / "result.txt")
