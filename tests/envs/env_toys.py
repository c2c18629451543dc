"""An executor that trains with a library of its env's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import Env
from sandbox.executors import BaseModelExecutor
from sandbox.executors.worker import run_worker
from sandbox.job import Outputs


class LibraryTraining(BaseModelExecutor):
    """Run the tests' worker in an env, as the executors of InternVL run theirs."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, env: Env | None = None) -> None:
        self.env = env

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        request = {"result_path": output_dir / "result.txt"}
        await run_worker(
            "env_worker", request, output_dir=output_dir, log_path=log_path, env=self.env
        )

    def outputs(self, output_dir: Path) -> Outputs:
        return {"path": output_dir / "result.txt"}
