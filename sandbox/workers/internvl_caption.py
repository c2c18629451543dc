"""Worker: write a caption for every picture of a list.

Request: ``model_path``, ``pictures`` (``[{"image_id", "path", "origin"}]``), ``captions_path``
(written, COCO results format), ``prompt``, ``max_new_tokens``, ``num_beams``, ``batch_size``,
``max_tiles``, ``precision``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import internvl_train
import worker_start


def preload() -> None:
    """Import what forks of this worker's parent need not import any more."""
    internvl_train.preload()


def main(request: dict[str, Any]) -> None:
    """Caption all pictures, and write the file at the end in one piece."""
    with worker_start.importing():
        import torch
        from internvl_data import PictureReader, collate
        from internvl_model import chat, load_model, load_processor, use_bf16

    pictures, size = request["pictures"], request["batch_size"]
    processor = load_processor(request["model_path"])
    dtype = torch.bfloat16 if use_bf16(request["precision"]) else torch.float32
    model = load_model(request["model_path"], dtype).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    reader = PictureReader(processor, request["max_tiles"])

    @functools.cache
    def question(num_tiles: int) -> list[int]:
        return list(processor.tokenizer(chat(processor, request["prompt"], num_tiles))["input_ids"])

    def encode(picture: Mapping[str, Any]) -> dict[str, Any]:
        pixels = reader.read(picture["path"], picture["origin"])
        return {"input_ids": question(len(pixels)), "pixel_values": pixels.to(dtype)}

    captions: list[dict[str, Any]] = []
    for begin in range(0, len(pictures), size):
        part = pictures[begin : begin + size]
        rows = [encode(picture) for picture in part]
        batch = collate(rows, processor.tokenizer.pad_token_id, left=True)
        texts = generate(model, processor, batch, request)
        for picture, text in zip(part, texts, strict=True):
            captions.append({"image_id": picture["image_id"], "caption": text})
        print(f"{len(captions)} of {len(pictures)} pictures captioned", flush=True)
    # Renamed when complete, so that a file that exists is whole.
    partial = Path(request["captions_path"] + ".partial")
    partial.write_text(json.dumps(captions, ensure_ascii=False), encoding="utf-8")
    partial.replace(request["captions_path"])


def generate(
    model: Any, processor: Any, batch: Mapping[str, Any], request: Mapping[str, Any]
) -> list[str]:
    """Return one caption a picture, by greedy or beam search: the same every time."""
    import torch

    with torch.inference_mode():
        tokens = model.generate(
            **{name: value.to(model.device) for name, value in batch.items()},
            max_new_tokens=request["max_new_tokens"],
            num_beams=request["num_beams"],
            do_sample=False,
        )
    new = tokens[:, batch["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]


if __name__ == "__main__":
    worker_start.start(main)
