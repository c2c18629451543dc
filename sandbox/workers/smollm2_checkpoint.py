"""Turn the GGUF file of SmolLM2 into a checkpoint folder of transformers.

    python smollm2_checkpoint.py request.json

The request holds ``package_dir``, where the GGUF file is, and ``checkpoint_path``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import causal_lm_model as lm
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM


def main() -> None:
    """Write the checkpoint."""
    given = lm.request()
    found = sorted(Path(given["package_dir"]).glob("SmolLM2-*.gguf"))
    if len(found) != 1:
        raise SystemExit(
            f"{given['package_dir']} has {len(found)} files SmolLM2-*.gguf; expected one"
        )
    source = {"gguf_file": found[0].name, "local_files_only": True}
    packed = AutoModelForCausalLM.from_pretrained(
        given["package_dir"], dtype=torch.bfloat16, **source
    )
    config: Any = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # A model that came from GGUF refuses to be saved; its weights in a new model do not.
    with torch.device("meta"):
        plain = LlamaForCausalLM(config)
    plain.load_state_dict(packed.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(given["checkpoint_path"])
    AutoTokenizer.from_pretrained(given["package_dir"], **source).save_pretrained(
        given["checkpoint_path"]
    )


if __name__ == "__main__":
    main()
