"""Speed of InternVL's training worker against the same training as bare loops with transformers.

    OMP_NUM_THREADS=1 python scripts/bench/worker_throughput.py [--rounds 3] [--steps 40]

One process trains the tiny model in turns: ``worker`` is the training of the worker (Trainer,
callbacks, metrics); ``bare`` feeds the worker's batches to the model and AdamW and does nothing
else; ``plain`` also makes its batches as the library's examples do, with one call of the processor
each. Every turn reads its data again.

It prints the medians of the images per second of wall time and of CPU time, and the worker's speed
as a share of the others' in CPU time, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "sandbox" / "workers")]

COLORS = ("red", "blue", "green", "yellow", "black", "orange")


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from worker_start import importing

    with importing():  # as the worker does, before its clock starts
        import internvl_trainer  # noqa: F401

    turns: dict[str, Callable[[dict[str, Any]], None]] = {
        "worker": worker,
        "bare": bare,
        "plain": plain,
    }
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    with tempfile.TemporaryDirectory() as folder:
        request = prepare(Path(folder), options.steps, options.batch_size)
        for number in range(options.rounds + 1):
            for name, turn in turns.items():
                wall, cpu = measure(turn, request)
                if number:  # the first round warms up
                    images = options.steps * options.batch_size
                    speeds[name].append((images / wall, images / cpu))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in speeds.items()
    }
    for name, (wall, cpu) in medians.items():
        share = medians["worker"][1] / cpu
        print(
            f"{name:7} {wall:7.1f} images/s  {cpu:7.1f} images/CPU-s  worker / {name} = {share:.3f}"
        )


def prepare(folder: Path, steps: int, batch_size: int) -> dict[str, Any]:
    """Draw captioned pictures, build the tiny model, and return a request like the executor's."""
    from internvl_model import save_processor
    from PIL import Image, ImageDraw

    from sandbox.executors.internvl_data import PROMPT, write_training_set
    from sandbox.workers.internvl_conversations import CaptionedPicture

    draw = random.Random(0)
    pairs = []
    for number in range(400):
        color, left, top = draw.choice(COLORS), draw.randrange(48), draw.randrange(48)
        picture = Image.new("RGB", (96, 96), "white")
        ImageDraw.Draw(picture).rectangle((left, top, left + 40, top + 40), fill=color)
        path = folder / f"{number}.png"
        picture.save(path)
        for words in ("square", "square on a white background", "square somewhere in the picture"):
            pairs.append(CaptionedPicture(path, f"A {color} {words}.", path.name, PROMPT))
    meta_path = write_training_set(pairs, folder, "train")
    model, processor = build([pair.caption for pair in pairs], PROMPT)
    model.save_pretrained(folder / "checkpoint")
    save_processor(processor, folder / "checkpoint")
    return {
        "model_path": str(folder / "checkpoint"),
        "output_dir": str(folder),
        "train_meta": str(meta_path),
        "eval_meta": None,
        "max_steps": steps,
        "batch_size": batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "adam_beta2": 0.98,
        "precision": "fp32",
        "num_data_workers": 0,
        "gradient_checkpointing": False,
        "max_tiles": 1,
        "save_steps": None,
        "eval_steps": None,
        "early_stopping_patience": None,
        "logging_steps": 10,
        "seed": 0,
    }


def build(captions: list[str], prompt: str) -> tuple[Any, Any]:
    """The tiny model in its default size, untrained."""
    from internvl_build import build_config, build_processor
    from transformers import InternVLForConditionalGeneration, set_seed

    sizes = {"image_size": 64, "patch_size": 8, "num_attention_heads": 4, "vocab_size": 2048}
    sizes |= {
        "vision_hidden_size": 96,
        "vision_num_layers": 3,
        "text_hidden_size": 128,
        "text_num_layers": 3,
    }
    set_seed(0)
    processor = build_processor(captions, prompt, sizes)
    return InternVLForConditionalGeneration(build_config(processor, sizes)), processor


def measure(turn: Callable[[dict[str, Any]], None], request: dict[str, Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one training."""
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        turn(request)
    return time.perf_counter() - wall, time.process_time() - cpu


def worker(request: dict[str, Any]) -> None:
    """Do the worker's own work, from the end of its imports to the saved result."""
    from internvl_model import load_model, load_processor
    from internvl_trainer import train
    from transformers import set_seed

    set_seed(request["seed"])
    train(load_model(request["model_path"]), load_processor(request["model_path"]), request)


def bare(request: dict[str, Any]) -> None:
    """The model, AdamW and a schedule, on the worker's batches."""
    from internvl_conversations import read_conversations
    from internvl_data import PairDataset, collate
    from internvl_model import load_processor

    processor = load_processor(request["model_path"])
    dataset = PairDataset(read_conversations(Path(request["train_meta"])), processor, 1)
    pad_id = processor.tokenizer.pad_token_id
    loop(
        request,
        len(dataset),
        lambda indices: collate([dataset[index] for index in indices], pad_id),
    )


def plain(request: dict[str, Any]) -> None:
    """The same, with one call of the processor a batch."""
    from internvl_model import load_processor
    from PIL import Image

    processor = load_processor(request["model_path"])
    meta = json.loads(Path(request["train_meta"]).read_text())["train"]
    rows = [json.loads(line) for line in Path(meta["annotation"]).read_text().splitlines()]

    def batch(indices: list[int]) -> dict[str, Any]:
        texts, pictures = [], []
        for row in (rows[index] for index in indices):
            question, answer = (turn["value"] for turn in row["conversations"])
            parts = [
                {"type": "image"},
                {"type": "text", "text": question.removeprefix("<image>\n")},
            ]
            turns = [{"role": "user", "content": parts}]
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
            texts.append(processor.apply_chat_template(turns, tokenize=False))
            pictures.append(Image.open(Path(meta["root"]) / row["image"]).convert("RGB"))
        encoded = processor(
            text=texts,
            images=pictures,
            padding=True,
            return_tensors="pt",
            images_kwargs={"crop_to_patches": False},
            text_kwargs={"padding_side": "right"},
        )
        labels = encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, -100)
        return {**encoded, "labels": labels}

    loop(request, len(rows), batch)


def loop(request: dict[str, Any], size: int, batch: Callable[[list[int]], dict[str, Any]]) -> None:
    """Steps of forward, backward, clipping and AdamW over shuffled indices."""
    import torch
    from internvl_model import load_model
    from transformers import get_cosine_schedule_with_warmup

    model = load_model(request["model_path"]).train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=request["learning_rate"],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    steps = request["max_steps"]
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    order: list[int] = []
    for _ in range(steps):
        while len(order) < request["batch_size"]:
            order += torch.randperm(size).tolist()
        indices, order = order[: request["batch_size"]], order[request["batch_size"] :]
        model(**batch(indices)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
