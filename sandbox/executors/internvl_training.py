"""Fine-tuning of InternVL on pictures and captions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker_async
from sandbox.executors import BaseModelExecutor, Checkpoint
from sandbox.executors.internvl_data import PROMPT, read_pool, write_training_set
from sandbox.executors.internvl_model import check_checkpoint
from sandbox.job import JobScope, NonNegativeInt, PositiveFloat, PositiveInt, rule


@dataclass(frozen=True, kw_only=True)
class InternVLTraining(BaseModelExecutor):
    """Fine-tune an InternVL checkpoint on a data pool, fully or with LoRA.

    A training that was killed resumes from its newest checkpoint when it is started again with the
    same ``output_dir``, and ends with the same weights as one that was not.

    Args:
        model_path: Checkpoint to start from: a folder, or a hub id.
        dataset_path: Pool to train on, in Data-Juicer's format, one picture and caption a sample.
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
        max_tiles: Most tiles that a picture is cut into by its shape; 1 shows it whole.
        precision: ``auto`` computes in bfloat16 if the hardware has it.
        gradient_checkpointing: Compute activations twice instead of keeping them.
        logging_steps: Steps between two reports of loss, learning rate and gradient norm.
        save_steps: Steps between two checkpoints to resume from; ``None`` writes none.
        eval_steps: Steps between two evaluations; ``None`` evaluates once, at the end.
        early_stopping_patience: Evaluations in a row without a better loss after which training
            stops; the best weights are then the result. ``None`` trains to the end.
        num_processes: Processes that train together, one a GPU.
        num_data_workers: Processes that read pictures for each training process.
        group_by_length: Make batches of pairs that are about equally long, so that little is
            padding; batches stay in random order. ``false`` draws pairs independently.
        prompt: Question that goes with every picture.
        keep_checkpoints: Keep the checkpoints to resume from after success; they are large.
        env: Where the program runs.

    Source: InternVL's fine-tuning recipe (rank, alpha 2r, dropout 0.05, freezing, dynamic tiles,
    batches by length), on transformers' own classes.
    """

    PACKAGES = MODEL_PACKAGES

    RESUMABLE: ClassVar[bool] = True

    VERSION: ClassVar[int] = 2

    model_path: Path | str
    dataset_path: Path
    eval_dataset_path: Path | None = None
    max_steps: PositiveInt = 100
    batch_size: PositiveInt = 32
    gradient_accumulation_steps: PositiveInt = 1
    learning_rate: PositiveFloat = 4e-5
    warmup_ratio: Annotated[float, Interval(ge=0, lt=1)] = 0.03
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    seed: int = 0
    lora_rank: NonNegativeInt = 0
    freeze_language_model: bool = False
    freeze_mlp: bool = False
    freeze_vision_tower: bool = False
    max_tiles: PositiveInt = 1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    logging_steps: PositiveInt = 10
    save_steps: PositiveInt | None = 200
    eval_steps: PositiveInt | None = None
    early_stopping_patience: PositiveInt | None = None
    num_processes: PositiveInt = 1
    num_data_workers: NonNegativeInt = 0
    group_by_length: bool = True
    prompt: str = PROMPT
    keep_checkpoints: bool = False
    env: Env = field(default_factory=CurrentEnv)

    @rule
    def _something_is_trained(
        lora_rank: int, freeze_language_model: bool, freeze_mlp: bool, freeze_vision_tower: bool
    ) -> None:
        if lora_rank == 0 and freeze_language_model and freeze_mlp and freeze_vision_tower:
            raise ValueError("nothing to train: all parts are frozen and lora_rank is 0")

    @rule
    def _evaluation_has_data(
        eval_dataset_path: Path | None, eval_steps: int | None, early_stopping_patience: int | None
    ) -> None:
        given = {"eval_steps": eval_steps, "early_stopping_patience": early_stopping_patience}
        for name, value in given.items():
            if value is not None and eval_dataset_path is None:
                raise ValueError(f"{name} is {value}, but there is no eval_dataset_path")

    @rule
    def _early_stopping_evaluates(
        early_stopping_patience: int | None, eval_steps: int | None
    ) -> None:
        if early_stopping_patience is not None and eval_steps is None:
            raise ValueError(
                "early_stopping_patience needs eval_steps, the steps between evaluations"
            )

    def data_connector(self, *, scope: JobScope) -> dict[str, Path | None]:
        """Write the pools in InternVL's conversation format; return the meta files of both.

        Raises:
            ValueError: ``model_path`` is no checkpoint, a pool is empty, or a caption or picture is
                missing or unreadable.
        """
        check_checkpoint(self.model_path)
        pools = {"train": self.dataset_path, "eval": self.eval_dataset_path}
        metas: dict[str, Path | None] = {}
        for name, path in pools.items():
            metas[f"{name}_meta"] = None
            if path is not None:
                pairs = read_pool(path, self.prompt)
                metas[f"{name}_meta"] = write_training_set(pairs, scope.output_dir, name)
        return metas

    async def _run(self, data: dict[str, Path | None], *, scope: JobScope) -> None:
        request = {
            **{name: value for name, value in vars(self).items() if name != "env"},
            **data,
            "model_path": str(self.model_path),  # text, because a hub id is no path
            "output_dir": scope.output_dir,
            "checkpoints_dir": (
                scope.output_dir / "checkpoints" if self.keep_checkpoints else scope.resume_dir
            ),
        }
        await run_worker_async(
            "internvl_train", request, scope, self.env, num_processes=self.num_processes
        )

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        """Return the trained model in the format it started from, adapters merged."""
        return Checkpoint(checkpoint_path=scope.output_dir / "checkpoint")
