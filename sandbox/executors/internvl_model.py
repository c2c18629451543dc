"""InternVL checkpoints: a tiny one that is made here, or one that others have trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from sandbox.executors import BaseModelExecutor
from sandbox.executors.internvl_data import PROMPT, read_annotations, write_conversations
from sandbox.executors.worker import run_worker
from sandbox.job import Outputs

_SNAPSHOT = "snapshot.txt"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_checkpoint(name_or_path: Path | str) -> None:
    """Refuse a folder that is no InternVL checkpoint; a hub id is not looked up.

    Raises:
        ValueError: It is neither a folder that holds an InternVL checkpoint nor looks like a hub id.
    """
    folder = Path(name_or_path)
    config_path = folder / "config.json"
    if not folder.exists():
        if isinstance(name_or_path, str) and _HUB_ID.fullmatch(name_or_path):
            return
        raise ValueError(
            f"checkpoint {name_or_path} does not exist; expected a folder, or a hub id as name/model"
        )
    if not config_path.is_file():
        raise ValueError(f"{name_or_path} is not a checkpoint: it has no config.json")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config_path} is not JSON: {error}") from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type != "internvl":
        raise ValueError(
            f"{name_or_path} is not an InternVL checkpoint: model_type is {model_type!r}, expected "
            "'internvl' (those that transformers loads have names that end in -hf)"
        )


class InternVLPretrained(BaseModelExecutor):
    """Hand on a checkpoint that exists: a local folder, or one that is fetched from the hub once.

    Args:
        name_or_path: Hub id such as ``OpenGVLab/InternVL3-1B-hf``, or a local folder.

    Raises:
        ValueError: A local folder is not there, or is no InternVL checkpoint.
        ProcessError: The hub has no such model, or cannot be reached.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)
    VERSION: ClassVar[int] = 2

    def __init__(self, name_or_path: Path | str) -> None:
        check_checkpoint(name_or_path)
        self.name_or_path = name_or_path

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        if Path(self.name_or_path).exists():
            return
        request = {"repo_id": str(self.name_or_path), "snapshot_path": output_dir / _SNAPSHOT}
        await run_worker("hub_snapshot", request, output_dir=output_dir, log_path=log_path)

    def outputs(self, output_dir: Path) -> Outputs:
        """``checkpoint_path``: the folder."""
        snapshot_path = output_dir / _SNAPSHOT
        folder = Path(
            snapshot_path.read_text(encoding="utf-8")
            if snapshot_path.exists()
            else self.name_or_path
        )
        check_checkpoint(folder)
        return {"checkpoint_path": folder.absolute()}


class InternVLTiny(BaseModelExecutor):
    """Build a small InternVL from a config, train its tokenizer on captions, and warm it up on them.

    The result is a folder of the same kind as ``OpenGVLab/InternVL3-*-hf`` (model, tokenizer, picture
    processor, chat template, generation config), so everything that takes one takes the other.
    The defaults make a model of 1.2 million parameters.

    Args:
        annotation_path: Clean captions, COCO format, that tokenizer and model are trained on.
        image_dir: Folder that the annotations' file names are relative to.
        image_size: Side of the square picture that the model sees, pixels.
        patch_size: Side of a patch, pixels; four patches become one token.
        vision_hidden_size: Width of the vision tower.
        vision_num_layers: Depth of the vision tower.
        text_hidden_size: Width of the language model.
        text_num_layers: Depth of the language model.
        num_attention_heads: Heads of both; divides both widths.
        vocab_size: Largest number of tokens besides the special ones; small captions give fewer.
        max_steps: Steps of the warm-up; 0 leaves the random weights.
        batch_size: Pictures a step.
        learning_rate: Peak of the cosine schedule.
        prompt: Question that goes with every picture.
        seed: Seed of weights and order.

    Raises:
        ValueError: A size is not positive, or the sizes do not fit each other.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)

    def __init__(
        self,
        annotation_path: Path,
        image_dir: Path,
        image_size: int = 64,
        patch_size: int = 8,
        vision_hidden_size: int = 96,
        vision_num_layers: int = 3,
        text_hidden_size: int = 128,
        text_num_layers: int = 3,
        num_attention_heads: int = 4,
        vocab_size: int = 2048,
        max_steps: int = 200,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        prompt: str = PROMPT,
        seed: int = 0,
    ) -> None:
        if max_steps < 0 or batch_size < 1 or learning_rate <= 0:
            raise ValueError(
                f"max_steps {max_steps}, batch_size {batch_size} and learning_rate {learning_rate}; "
                "expected at least 0, at least 1 and a positive number"
            )
        if image_size % (2 * patch_size):
            raise ValueError(
                f"image_size {image_size} is not a multiple of twice patch_size {patch_size}"
            )
        for name, width in (("vision", vision_hidden_size), ("text", text_hidden_size)):
            if width % (2 * num_attention_heads):
                raise ValueError(
                    f"{name}_hidden_size {width} is not a multiple of twice num_attention_heads "
                    f"{num_attention_heads}"
                )
        if vocab_size < 300 or vision_num_layers < 1 or text_num_layers < 1:
            raise ValueError(
                f"vocab_size {vocab_size} and layers {vision_num_layers}, {text_num_layers}; "
                "expected at least 300 (256 of them are the bytes) and at least 1"
            )
        self.annotation_path = annotation_path
        self.image_dir = image_dir
        self.prompt = prompt
        self._sizes = {
            "image_size": image_size,
            "patch_size": patch_size,
            "vision_hidden_size": vision_hidden_size,
            "vision_num_layers": vision_num_layers,
            "text_hidden_size": text_hidden_size,
            "text_num_layers": text_num_layers,
            "num_attention_heads": num_attention_heads,
            "vocab_size": vocab_size,
        }
        self._training = {
            "max_steps": max_steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        }

    def data_connector(self, output_dir: Path) -> Path:
        """The captions in InternVL's conversation format."""
        pairs = read_annotations(self.annotation_path, self.image_dir.absolute())
        return write_conversations(pairs, self.prompt, output_dir, "warmup")

    async def _run(self, data: Path, *, output_dir: Path, log_path: Path) -> None:
        fixed = {
            "gradient_accumulation_steps": 1,
            "lr_scheduler": "cosine",
            "warmup_ratio": 0.1,
            "weight_decay": 0.01,
            "adam_beta2": 0.98,
            "precision": "auto",
            "num_data_workers": 0,
            "gradient_checkpointing": False,
            "max_tiles": 1,
            "save_steps": None,
            "eval_steps": None,
            "eval_meta": None,
            "early_stopping_patience": None,
            "logging_steps": 10,
        }
        request = {
            **fixed,
            **self._sizes,
            **self._training,
            "output_dir": output_dir,
            "train_meta": data,
        }
        await run_worker("internvl_build", request, output_dir=output_dir, log_path=log_path)

    def outputs(self, output_dir: Path) -> Outputs:
        """``checkpoint_path``: the folder that transformers' classes load."""
        return {"checkpoint_path": output_dir / "checkpoint"}
