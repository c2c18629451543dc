"""Worker: fine-tune an InternVL checkpoint, fully or with LoRA.

Request: ``model_path``, ``output_dir`` (receives ``checkpoint/``, with LoRA also ``adapter/``),
``checkpoints_dir`` (receives the checkpoints to resume from), ``train_meta``, ``eval_meta``
(InternVL's meta files) and the arguments of ``InternVLTraining`` by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import worker_start

# The pattern names the tower, because the vision tower has layers of the same names.
_LANGUAGE_MODEL_LINEARS = (
    r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
)


def preload() -> None:
    """Import what forks of this worker's parent need not import any more."""
    with worker_start.importing():
        import accelerate  # noqa: F401
        import internvl_trainer  # noqa: F401
        import peft  # noqa: F401
        from transformers import InternVLForConditionalGeneration, Qwen2ForCausalLM  # noqa: F401


def main(request: dict[str, Any]) -> None:
    """Train, and write the result as one full checkpoint."""
    worker_start.prepare_for_trainer()
    with worker_start.importing():
        import torch
        from internvl_model import load_model, load_processor, save_processor, use_bf16
        from internvl_trainer import train
        from transformers import set_seed

    set_seed(request["seed"])
    # Frozen weights may be bfloat16; trained ones stay in float32 and are cast while computing.
    in_half = bool(request["lora_rank"]) and use_bf16(request["precision"])
    processor = load_processor(request["model_path"])
    model = load_model(request["model_path"], torch.bfloat16 if in_half else torch.float32)
    model = prepare(model, request)
    trainer = train(model, processor, request)
    if not trainer.is_world_process_zero():
        return
    output_dir = Path(request["output_dir"])
    model = trainer.accelerator.unwrap_model(trainer.model)
    if request["lora_rank"]:
        model.save_pretrained(output_dir / "adapter")
        model = model.merge_and_unload()
    model.save_pretrained(output_dir / "checkpoint")
    save_processor(processor, output_dir / "checkpoint")


def prepare(model: Any, request: Mapping[str, Any]) -> Any:
    """Freeze the parts that the request names, and add adapters to the language model."""
    if request["lora_rank"]:
        return add_lora(model, request)
    parts = {
        "freeze_language_model": (model.model.language_model, model.lm_head),
        "freeze_mlp": (model.model.multi_modal_projector,),
        "freeze_vision_tower": (model.model.vision_tower,),
    }
    for argument, modules in parts.items():
        for module in modules:
            module.requires_grad_(not request[argument])
    return model


def add_lora(model: Any, request: Mapping[str, Any]) -> Any:
    """Add adapters to the language model's linear layers.

    Parts that are not frozen train as a whole beside them. Rank r, alpha 2r and dropout 0.05 follow
    InternVL's ``use_llm_lora``.
    """
    from peft import LoraConfig, get_peft_model

    parts = {"freeze_mlp": "multi_modal_projector", "freeze_vision_tower": "vision_tower"}
    whole = [module for argument, module in parts.items() if not request[argument]]
    rank = request["lora_rank"]
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.05,
        target_modules=_LANGUAGE_MODEL_LINEARS,
        modules_to_save=whole or None,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # small updates are lost in bfloat16
    return adapted


if __name__ == "__main__":
    worker_start.start(main)
