"""Worker: build a tiny InternVL from a config, with a tokenizer of its own, and train it briefly.

Request: ``output_dir`` (receives ``checkpoint/``), the sizes of ``InternVLTiny``, and what
:func:`internvl_trainer.train` needs: ``train_meta``, ``checkpoints_dir``, its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import internvl_train
import worker_start

# With the library's initial weights, of 0.02, a model this small stays blind to the picture.
_INITIALIZER_RANGE = 0.06
_LAYER_SCALE = 1.0


def preload() -> None:
    """Import what forks of this worker's parent need not import any more."""
    internvl_train.preload()


def main(request: dict[str, Any]) -> None:
    """Build, train, and write one checkpoint that transformers' own classes load."""
    worker_start.prepare_for_trainer()
    with worker_start.importing():
        from internvl_conversations import read_conversations
        from internvl_model import save_processor
        from internvl_trainer import train
        from transformers import InternVLForConditionalGeneration, set_seed

    set_seed(request["seed"])
    pairs = read_conversations(Path(request["train_meta"]))
    processor = build_processor([pair.caption for pair in pairs], pairs[0].prompt, request)
    model = InternVLForConditionalGeneration(build_config(processor, request))
    tokenizer = processor.tokenizer
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if request["max_steps"]:
        train(model, processor, request)
    folder = Path(request["output_dir"]) / "checkpoint"
    model.save_pretrained(folder)
    save_processor(processor, folder)


def build_processor(captions: list[str], prompt: str, request: Mapping[str, Any]) -> Any:
    """Build a processor like the real checkpoints': tokenizer, pictures, chat template."""
    from internvl_model import ImageOnlyProcessor
    from internvl_tokenizer import CHAT_TEMPLATE, train_tokenizer
    from transformers import GotOcr2ImageProcessorPil

    # Often enough that the prompt becomes few tokens.
    turns = [prompt, "user\n", "assistant\n", "system\n"] * max(2, len(captions) // 20)
    tokenizer = train_tokenizer([*captions, *turns], request["vocab_size"])
    pictures = GotOcr2ImageProcessorPil(
        size={"height": request["image_size"], "width": request["image_size"]},
        crop_to_patches=False,
        # ImageNet's, as in the real checkpoints.
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    num_tokens = (request["image_size"] // request["patch_size"]) ** 2 // 4
    return ImageOnlyProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        image_seq_length=num_tokens,
        chat_template=CHAT_TEMPLATE,
    )


def build_config(processor: Any, request: Mapping[str, Any]) -> Any:
    """Build the config: InternViT and Qwen2 of the requested sizes, four patches a token."""
    from transformers import InternVLConfig

    tokenizer = processor.tokenizer
    vision = {
        "hidden_size": request["vision_hidden_size"],
        "num_hidden_layers": request["vision_num_layers"],
        "num_attention_heads": request["num_attention_heads"],
        "intermediate_size": request["vision_hidden_size"] * 4,
        "image_size": [request["image_size"]] * 2,
        "patch_size": [request["patch_size"]] * 2,
        "attention_bias": True,
        "layer_scale_init_value": _LAYER_SCALE,
        "initializer_range": _INITIALIZER_RANGE,
    }
    text = {
        "model_type": "qwen2",
        "hidden_size": request["text_hidden_size"],
        "num_hidden_layers": request["text_num_layers"],
        "num_attention_heads": request["num_attention_heads"],
        "num_key_value_heads": max(1, request["num_attention_heads"] // 2),
        "intermediate_size": request["text_hidden_size"] * 4,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": _INITIALIZER_RANGE,
    }
    return InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=processor.image_seq_length,
        downsample_ratio=0.5,
    )


if __name__ == "__main__":
    worker_start.start(main)
