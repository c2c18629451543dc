"""Worker: turn the GGUF file of SmolLM2 into a checkpoint folder of transformers.

Request: ``package_dir`` (holds the GGUF file), ``checkpoint_path`` (written).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from worker_start import InputError, start


def main(request: dict[str, Any]) -> None:
    """Write the checkpoint."""
    found = sorted(Path(request["package_dir"]).glob("SmolLM2-*.gguf"))
    if len(found) != 1:
        raise InputError(
            f"{request['package_dir']} has {len(found)} files SmolLM2-*.gguf; expected one"
        )
    source = {"gguf_file": found[0].name, "local_files_only": True}
    packed = AutoModelForCausalLM.from_pretrained(
        request["package_dir"], dtype=torch.bfloat16, **source
    )
    config: Any = packed.config
    # The config describes 4-bit weights, which the checkpoint will not have.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # transformers refuses to save a model from GGUF, but saves its weights in a new model.
    with torch.device("meta"):
        plain = LlamaForCausalLM(config)
    plain.load_state_dict(packed.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(request["checkpoint_path"])
    AutoTokenizer.from_pretrained(request["package_dir"], **source).save_pretrained(
        request["checkpoint_path"]
    )


if __name__ == "__main__":
    start(main)
