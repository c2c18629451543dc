"""InternVL checkpoints: load, save and talk to tiny and real ones through one code path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from transformers import InternVLForConditionalGeneration, InternVLProcessor
from transformers.processing_utils import ProcessorMixin
from transformers.utils.import_utils import is_torchvision_available
from worker_start import InputError, safe_loading

_SHARED_WITH_VIDEO = (
    "size",
    "resample",
    "rescale_factor",
    "image_mean",
    "image_std",
    "do_resize",
    "do_rescale",
    "do_normalize",
    "do_convert_rgb",
)


class ImageOnlyProcessor(InternVLProcessor):
    """InternVL's processor without its video half, whose class needs torchvision.

    transformers reads off the signature of ``__init__`` which parts a processor has, so leaving out
    ``video_processor`` is enough.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 256,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        ProcessorMixin.__init__(  # type: ignore[no-untyped-call]
            self, image_processor, tokenizer, chat_template=chat_template
        )
        self.image_seq_length = image_seq_length
        self.start_image_token = tokenizer.start_image_token
        self.end_image_token = tokenizer.end_image_token
        self.start_image_token_id = tokenizer.start_image_token_id
        self.end_image_token_id = tokenizer.end_image_token_id
        self.image_token = tokenizer.context_image_token
        self.image_token_id = tokenizer.context_image_token_id
        self.video_token = tokenizer.video_token
        names = (("image", self.image_token), ("video", self.video_token))
        self.multimodal_pattern = re.compile(
            "|".join(f"(?P<{name}>{re.escape(token)})" for name, token in names)
        )


def load_processor(checkpoint: str) -> Any:
    """Load a checkpoint's processor; without torchvision it is the image-only one."""
    if not is_torchvision_available():
        return ImageOnlyProcessor.from_pretrained(checkpoint, trust_remote_code=False)
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
        checkpoint, trust_remote_code=False
    )


def save_processor(processor: Any, folder: Path) -> None:
    """Save a processor for :func:`load_processor` and, given torchvision, ``AutoProcessor``."""
    processor.save_pretrained(folder)
    config_path = folder / "processor_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["processor_class"] = "InternVLProcessor"
    if "video_processor" not in config:
        image = config["image_processor"]
        config["video_processor"] = {
            name: image[name] for name in _SHARED_WITH_VIDEO if name in image
        }
        config["video_processor"]["video_processor_type"] = "InternVLVideoProcessor"
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer_path = folder / "tokenizer_config.json"
    tokenizer = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    tokenizer["processor_class"] = "InternVLProcessor"
    tokenizer_path.write_text(json.dumps(tokenizer, indent=2) + "\n", encoding="utf-8")


def load_model(checkpoint: str, dtype: torch.dtype = torch.float32) -> Any:
    """Load the model of a checkpoint folder or hub id, with its weights in ``dtype``."""
    try:
        return InternVLForConditionalGeneration.from_pretrained(
            checkpoint, dtype=dtype, **safe_loading(checkpoint)
        )
    except (OSError, UnpicklingError) as error:
        raise InputError(
            f"{checkpoint} cannot be loaded as an InternVL checkpoint: {error}"
        ) from error


def use_bf16(precision: str) -> bool:
    """True if the model computes in bfloat16; ``auto`` depends on the hardware."""
    if precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return precision == "bf16"


def chat(processor: Any, prompt: str, num_tiles: int) -> str:
    """Return the prompt up to the answer, with the tokens of a picture of ``num_tiles`` tiles."""
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    messages = [{"role": "user", "content": content}]
    text = str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    picture = processor.image_token * processor.image_seq_length * num_tiles
    picture = processor.start_image_token + picture + processor.end_image_token
    return text.replace(processor.image_token, picture, 1)


def answer_end(processor: Any) -> str:
    """Return the text that the chat template puts after an answer: the token that ends a turn."""
    content = [{"type": "text", "text": "ANSWER"}]
    messages = [{"role": "assistant", "content": content}]
    text = str(processor.apply_chat_template(messages, tokenize=False))
    return text.rsplit("ANSWER", 1)[1].strip()
