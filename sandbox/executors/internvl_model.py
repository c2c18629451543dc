"""InternVL checkpoints: a tiny one that is made here, or one that others have trained."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from sandbox.envs.worker import MODEL_PACKAGES, run_worker_async
from sandbox.executors import BaseModelExecutor, Checkpoint
from sandbox.executors.internvl_data import PROMPT, read_annotations, write_training_set
from sandbox.job import JobScope, NonNegativeInt, PositiveFloat, PositiveInt, rule

_SNAPSHOT = "snapshot.txt"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

# The part of a training's request that a warm-up does not choose.
_WARMUP = {
    "gradient_accumulation_steps": 1,
    "lr_scheduler": "cosine",
    "warmup_ratio": 0.1,
    "weight_decay": 0.01,
    "adam_beta2": 0.98,
    "precision": "auto",
    "num_data_workers": 0,
    "group_by_length": True,
    "gradient_checkpointing": False,
    "max_tiles": 1,
    "save_steps": 200,
    "eval_steps": None,
    "eval_meta": None,
    "early_stopping_patience": None,
    "logging_steps": 10,
}


def check_checkpoint(name_or_path: Path | str) -> None:
    """Refuse a folder that is no InternVL checkpoint; a hub id is not looked up.

    Raises:
        ValueError: It is neither the folder of an InternVL checkpoint nor looks like a hub id.
    """
    folder = Path(name_or_path)
    config_path = folder / "config.json"
    if not folder.exists():
        if isinstance(name_or_path, str) and _HUB_ID.fullmatch(name_or_path):
            return
        raise ValueError(
            f"checkpoint {name_or_path} does not exist; expected a folder or a hub id, name/model"
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
            "'internvl' (the checkpoints that transformers loads have names that end in -hf)"
        )


@dataclass(frozen=True, kw_only=True)
class InternVLPretrained(BaseModelExecutor):
    """Pass on an existing checkpoint: a local folder, or one that is fetched from the hub once.

    Args:
        name_or_path: Hub id such as ``OpenGVLab/InternVL3-1B-hf``, or a local folder.
    """

    PACKAGES = MODEL_PACKAGES

    VERSION: ClassVar[int] = 2

    name_or_path: Path | str

    @rule
    def _is_a_checkpoint(name_or_path: Path | str) -> None:
        check_checkpoint(name_or_path)

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        if Path(self.name_or_path).exists():
            return
        request = {"repo_id": str(self.name_or_path)}
        fetched = await run_worker_async("hub_snapshot", request, scope)
        (scope.output_dir / _SNAPSHOT).write_text(fetched["folder"], encoding="utf-8")

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        """Return the folder.

        Raises:
            ValueError: The fetched folder is no InternVL checkpoint.
        """
        folder = Path(self.name_or_path)
        snapshot_path = scope.output_dir / _SNAPSHOT
        if snapshot_path.exists():
            folder = Path(snapshot_path.read_text(encoding="utf-8"))
        check_checkpoint(folder)
        return Checkpoint(checkpoint_path=folder.absolute())


@dataclass(frozen=True, kw_only=True)
class InternVLTiny(BaseModelExecutor):
    """Build a small InternVL from a config; train its tokenizer and the model on captions.

    The result is a folder of the same kind as ``OpenGVLab/InternVL3-*-hf`` (model, tokenizer,
    picture processor, chat template, generation config), so that components take either. The
    defaults make a model of 1.2 million parameters.

    Args:
        annotation_path: Clean captions, COCO format, that tokenizer and model are trained on.
        image_dir: Folder that the annotations' file names are relative to.
        image_size: Side of the square picture that the model sees, pixels; a multiple of twice
            ``patch_size``.
        patch_size: Side of a patch, pixels; four patches become one token.
        vision_hidden_size: Width of the vision tower.
        vision_num_layers: Depth of the vision tower.
        text_hidden_size: Width of the language model.
        text_num_layers: Depth of the language model.
        num_attention_heads: Heads of both; twice their number divides both widths.
        vocab_size: Largest number of tokens besides the special ones; 256 of them are the bytes.
            Few captions give fewer.
        max_steps: Steps of the warm-up; 0 leaves the random weights.
        batch_size: Pictures a step.
        learning_rate: Peak of the cosine schedule.
        prompt: Question that goes with every picture.
        seed: Seed of weights and order.
    """

    PACKAGES = MODEL_PACKAGES

    RESUMABLE: ClassVar[bool] = True

    VERSION: ClassVar[int] = 2

    annotation_path: Path
    image_dir: Path
    image_size: PositiveInt = 64
    patch_size: PositiveInt = 8
    vision_hidden_size: PositiveInt = 96
    vision_num_layers: PositiveInt = 3
    text_hidden_size: PositiveInt = 128
    text_num_layers: PositiveInt = 3
    num_attention_heads: PositiveInt = 4
    vocab_size: Annotated[int, Ge(300)] = 2048
    max_steps: NonNegativeInt = 200
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-3
    prompt: str = PROMPT
    seed: int = 0

    @rule
    def _patches_fill_the_picture(image_size: int, patch_size: int) -> None:
        if image_size % (2 * patch_size):
            raise ValueError(
                f"image_size is {image_size}, not a multiple of twice patch_size, {patch_size}"
            )

    @rule
    def _heads_divide_the_widths(
        vision_hidden_size: int, text_hidden_size: int, num_attention_heads: int
    ) -> None:
        for name, width in (("vision", vision_hidden_size), ("text", text_hidden_size)):
            if width % (2 * num_attention_heads):
                raise ValueError(
                    f"{name}_hidden_size is {width}, not a multiple of twice "
                    f"num_attention_heads, {num_attention_heads}"
                )

    def data_connector(self, *, scope: JobScope) -> Path:
        """Write the captions in InternVL's conversation format; return the meta file."""
        pairs = read_annotations(self.annotation_path, self.image_dir.absolute(), self.prompt)
        return write_training_set(pairs, scope.output_dir, "warmup")

    async def _run(self, data: Path, *, scope: JobScope) -> None:
        files = {
            "output_dir": scope.output_dir,
            "checkpoints_dir": scope.resume_dir,
            "train_meta": data,
        }
        await run_worker_async("internvl_build", {**_WARMUP, **vars(self), **files}, scope)

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        return Checkpoint(checkpoint_path=scope.output_dir / "checkpoint")
