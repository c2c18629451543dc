"""Captions that an InternVL checkpoint gives to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from sandbox.envs import Env
from sandbox.executors import BaseModelExecutor
from sandbox.executors.internvl_data import PROMPT, check_pictures, read_coco
from sandbox.executors.internvl_model import check_checkpoint
from sandbox.executors.worker import run_worker
from sandbox.job import Outputs


class InternVLCaptioning(BaseModelExecutor):
    """Let a model caption every picture of an annotation file, by greedy or beam search.

    ``captions_path`` is a file in COCO results format: ``[{"image_id": 1, "caption": "..."}]``.

    Args:
        model_path: Checkpoint: a folder, or a hub id.
        annotation_path: COCO-format file; only its ``images`` are used.
        image_dir: Folder that the file names are relative to.
        prompt: Question that goes with every picture; the one of the training.
        max_new_tokens: Longest caption, tokens.
        num_beams: Beams of the search; 1 is greedy.
        batch_size: Pictures captioned together.
        max_tiles: Largest number of tiles that a picture is cut into by its shape; 1 shows it whole.
        precision: ``auto`` computes in bfloat16 where the hardware has it.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: A number is below 1; when run, also a wrong checkpoint, a file that is not in COCO
            format, or a picture that is missing or unreadable.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("captions_path",)

    def __init__(
        self,
        model_path: Path | str,
        annotation_path: Path,
        image_dir: Path,
        prompt: str = PROMPT,
        max_new_tokens: int = 30,
        num_beams: int = 1,
        batch_size: int = 64,
        max_tiles: int = 1,
        precision: Literal["auto", "bf16", "fp32"] = "auto",
        env: Env | None = None,
    ) -> None:
        self._request: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "num_beams": num_beams,
            "batch_size": batch_size,
            "max_tiles": max_tiles,
        }
        for name, value in self._request.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
        if precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision is {precision!r}; expected one of auto, bf16, fp32")
        self._request |= {"prompt": prompt, "precision": precision}
        self.model_path = model_path
        self.annotation_path = annotation_path
        self.image_dir = image_dir
        self.env = env

    def data_connector(self, output_dir: Path) -> None:
        """Check checkpoint, annotations and pictures before a model is loaded; nothing is converted."""
        check_checkpoint(self.model_path)
        images = read_coco(self.annotation_path)["images"]
        check_pictures(
            (self.image_dir / image["file_name"], f"{self.annotation_path}: image {image['id']}")
            for image in images
        )

    async def _run(self, data: None, *, output_dir: Path, log_path: Path) -> None:
        request = {
            **self._request,
            "model_path": str(self.model_path),
            "annotation_path": self.annotation_path.absolute(),
            "image_dir": self.image_dir.absolute(),
            "captions_path": output_dir / "captions.json",
        }
        await run_worker(
            "internvl_caption", request, output_dir=output_dir, log_path=log_path, env=self.env
        )

    def outputs(self, output_dir: Path) -> Outputs:
        """``captions_path``: one caption a picture, in the annotation file's order."""
        return {"captions_path": output_dir / "captions.json"}
