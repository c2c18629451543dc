"""Fine-tuning of InternVL on pictures and captions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from sandbox.envs import Env
from sandbox.executors import BaseModelExecutor
from sandbox.executors.internvl_data import PROMPT, read_pool, write_conversations
from sandbox.executors.internvl_model import check_checkpoint
from sandbox.executors.worker import run_worker
from sandbox.job import Outputs


class InternVLTraining(BaseModelExecutor):
    """Fine-tune an InternVL checkpoint on a data pool, fully or with LoRA.

    A training that was killed goes on from its newest checkpoint when it is started again with the same
    ``output_dir``, and ends with the same weights as one that was not.

    Args:
        model_path: Checkpoint to start from: a folder, or a hub id.
        dataset_path: Pool to train on, Data-Juicer JSON Lines, one picture and caption a row.
        eval_dataset_path: Pool whose loss is measured while training.
        max_steps: Optimiser steps.
        batch_size: Pairs a step and process; the step's whole batch is this times
            ``gradient_accumulation_steps`` times ``num_processes``.
        gradient_accumulation_steps: Batches an optimiser step.
        learning_rate: Peak of the schedule.
        warmup_ratio: Share of the steps in which the learning rate rises.
        weight_decay: Weight decay of AdamW.
        adam_beta2: Decay of AdamW's second moment; lower for a few hundred steps.
        lr_scheduler: Schedule after the warm-up.
        seed: Seed of order, dropout and adapters.
        lora_rank: Rank of the adapters on the language model, whose own weights are then frozen;
            0 trains the weights themselves.
        freeze_language_model: Leave the language model as it is.
        freeze_mlp: Leave the projector between the towers as it is.
        freeze_vision_tower: Leave the vision tower as it is.
        max_tiles: Largest number of tiles that a picture is cut into by its shape; 1 shows it whole.
        precision: ``auto`` computes in bfloat16 where the hardware has it.
        gradient_checkpointing: Compute activations twice instead of keeping them.
        logging_steps: Steps between two reports of loss, learning rate and gradient norm.
        save_steps: Steps between two checkpoints to resume from; ``None`` writes none.
        eval_steps: Steps between two evaluations; ``None`` evaluates once, at the end.
        early_stopping_patience: Evaluations in a row without a better loss after which training stops;
            the best weights are then the result. ``None`` trains to the end.
        num_processes: Processes that train together, one a GPU.
        num_data_workers: Processes that read pictures for each training process.
        prompt: Question that goes with every picture.
        keep_checkpoints: Keep the checkpoints to resume from after success; they are large.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: An argument is out of range, or arguments contradict each other; when run, also a wrong
            checkpoint, an empty pool, or a row whose caption or picture is missing or unreadable.

    Source: InternVL's fine-tuning recipe (rank, alpha 2r, dropout 0.05, freezing, dynamic tiles), on
    transformers' own classes.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)
    RESUMABLE: ClassVar[bool] = True

    def __init__(
        self,
        model_path: Path | str,
        dataset_path: Path,
        eval_dataset_path: Path | None = None,
        max_steps: int = 100,
        batch_size: int = 32,
        gradient_accumulation_steps: int = 1,
        learning_rate: float = 4e-5,
        warmup_ratio: float = 0.03,
        weight_decay: float = 0.01,
        adam_beta2: float = 0.999,
        lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine",
        seed: int = 0,
        lora_rank: int = 0,
        freeze_language_model: bool = False,
        freeze_mlp: bool = False,
        freeze_vision_tower: bool = False,
        max_tiles: int = 1,
        precision: Literal["auto", "bf16", "fp32"] = "auto",
        gradient_checkpointing: bool = False,
        logging_steps: int = 10,
        save_steps: int | None = 200,
        eval_steps: int | None = None,
        early_stopping_patience: int | None = None,
        num_processes: int = 1,
        num_data_workers: int = 0,
        prompt: str = PROMPT,
        keep_checkpoints: bool = False,
        env: Env | None = None,
    ) -> None:
        self.model_path = model_path
        self.dataset_path = dataset_path
        self.eval_dataset_path = eval_dataset_path
        self.num_processes = num_processes
        self.prompt = prompt
        self.keep_checkpoints = keep_checkpoints
        self.env = env
        self._request: dict[str, Any] = {
            "max_steps": max_steps,
            "batch_size": batch_size,
            "gradient_accumulation_steps": gradient_accumulation_steps,
            "learning_rate": learning_rate,
            "warmup_ratio": warmup_ratio,
            "weight_decay": weight_decay,
            "adam_beta2": adam_beta2,
            "lr_scheduler": lr_scheduler,
            "seed": seed,
            "lora_rank": lora_rank,
            "freeze_language_model": freeze_language_model,
            "freeze_mlp": freeze_mlp,
            "freeze_vision_tower": freeze_vision_tower,
            "max_tiles": max_tiles,
            "precision": precision,
            "gradient_checkpointing": gradient_checkpointing,
            "logging_steps": logging_steps,
            "save_steps": save_steps,
            "eval_steps": eval_steps,
            "early_stopping_patience": early_stopping_patience,
            "num_data_workers": num_data_workers,
        }
        self._check()

    def data_connector(self, output_dir: Path) -> dict[str, Path | None]:
        """The pools in InternVL's conversation format; returns the meta files of both."""
        check_checkpoint(self.model_path)
        pools = {"train": self.dataset_path, "eval": self.eval_dataset_path}
        return {
            f"{name}_meta": write_conversations(read_pool(path), self.prompt, output_dir, name)
            if path
            else None
            for name, path in pools.items()
        }

    async def _run(self, data: dict[str, Path | None], *, output_dir: Path, log_path: Path) -> None:
        request = {
            **self._request,
            **data,
            "model_path": str(self.model_path),
            "output_dir": output_dir,
        }
        await run_worker(
            "internvl_train",
            request,
            output_dir=output_dir,
            log_path=log_path,
            num_processes=self.num_processes,
            env=self.env,
        )
        if not self.keep_checkpoints:
            shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)

    def outputs(self, output_dir: Path) -> Outputs:
        """``checkpoint_path``: the trained model in the format it started from, adapters merged."""
        return {"checkpoint_path": output_dir / "checkpoint"}

    def _check(self) -> None:
        request = self._request
        counts = (
            "max_steps",
            "batch_size",
            "gradient_accumulation_steps",
            "max_tiles",
            "logging_steps",
        )
        positive = {name: request[name] for name in counts} | {"num_processes": self.num_processes}
        optional = ("save_steps", "eval_steps", "early_stopping_patience")
        positive |= {name: request[name] for name in optional if request[name] is not None}
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
        if request["learning_rate"] <= 0 or not 0 <= request["warmup_ratio"] < 1:
            raise ValueError(
                f"learning_rate {request['learning_rate']} and warmup_ratio {request['warmup_ratio']}; "
                "expected a positive number and a share below 1"
            )
        for name in ("lora_rank", "num_data_workers"):
            if request[name] < 0:
                raise ValueError(f"{name} is {request[name]}; expected at least 0")
        frozen = [name for name in request if name.startswith("freeze_") and request[name]]
        if len(frozen) == 3 and not request["lora_rank"]:
            raise ValueError(f"nothing to train: {', '.join(frozen)} are true and lora_rank is 0")
        self._check_choices()

    def _check_choices(self) -> None:
        request = self._request
        choices = {
            "precision": ("auto", "bf16", "fp32"),
            "lr_scheduler": ("cosine", "linear", "constant", "constant_with_warmup"),
        }
        for name, allowed in choices.items():
            if request[name] not in allowed:
                raise ValueError(
                    f"{name} is {request[name]!r}; expected one of {', '.join(allowed)}"
                )
        for name in ("eval_steps", "early_stopping_patience"):
            if request[name] is not None and self.eval_dataset_path is None:
                raise ValueError(f"{name} is {request[name]}, but no eval_dataset_path is given")
        if request["early_stopping_patience"] is not None and request["eval_steps"] is None:
            raise ValueError("early_stopping_patience needs eval_steps: when to evaluate")
