"""Captions that an InternVL checkpoint gives to pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker_async
from sandbox.executors import BaseModelExecutor
from sandbox.executors.internvl_data import PROMPT, check_pictures
from sandbox.executors.internvl_model import check_checkpoint
from sandbox.job import JobScope, PositiveInt
from sandbox.samples import read_coco


@dataclass(frozen=True, kw_only=True)
class Captions:
    """Generated captions.

    Args:
        captions_path: File in COCO results format, ``[{"image_id": 1, "caption": "..."}]``, one
            caption a picture in the annotation file's order.
    """

    captions_path: Path


@dataclass(frozen=True, kw_only=True)
class InternVLCaptioning(BaseModelExecutor):
    """Caption every picture of an annotation file with a model, by greedy or beam search.

    Args:
        model_path: Checkpoint: a folder, or a hub id.
        annotation_path: COCO-format file; only its ``images`` are used.
        image_dir: Folder that the file names are relative to.
        prompt: Question that goes with every picture; the same as in the training.
        max_new_tokens: Longest caption, tokens.
        num_beams: Beams of the search; 1 is greedy.
        batch_size: Pictures captioned together.
        max_tiles: Most tiles that a picture is cut into by its shape; 1 shows it whole.
        precision: ``auto`` computes in bfloat16 if the hardware has it.
        env: Where the program runs.
    """

    PACKAGES = MODEL_PACKAGES

    model_path: Path | str
    annotation_path: Path
    image_dir: Path
    prompt: str = PROMPT
    max_new_tokens: PositiveInt = 30
    num_beams: PositiveInt = 1
    batch_size: PositiveInt = 64
    max_tiles: PositiveInt = 1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    env: Env = field(default_factory=CurrentEnv)

    def data_connector(self, *, scope: JobScope) -> list[dict[str, Any]]:
        """Check the checkpoint and the pictures before a model is loaded; return the pictures.

        Raises:
            ValueError: ``model_path`` is no checkpoint, the file is not in COCO format, or a
                picture is missing or unreadable.
        """
        check_checkpoint(self.model_path)
        pictures = [
            {
                "image_id": image_id,
                "path": self.image_dir / name,
                "origin": f"{self.annotation_path}: image {image_id}",
            }
            for image_id, name in read_coco(self.annotation_path).images.items()
        ]
        check_pictures((picture["path"], picture["origin"]) for picture in pictures)
        return pictures

    async def _run(self, data: list[dict[str, Any]], *, scope: JobScope) -> None:
        request = {
            "model_path": str(self.model_path),  # text, because a hub id is no path
            "pictures": data,
            "captions_path": self.outputs(scope=scope).captions_path,
            "prompt": self.prompt,
            "max_new_tokens": self.max_new_tokens,
            "num_beams": self.num_beams,
            "batch_size": self.batch_size,
            "max_tiles": self.max_tiles,
            "precision": self.precision,
        }
        await run_worker_async("internvl_caption", request, scope, self.env)

    def outputs(self, *, scope: JobScope) -> Captions:
        return Captions(captions_path=scope.output_dir / "captions.json")
