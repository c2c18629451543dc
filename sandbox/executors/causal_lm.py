"""Training of causal language models with transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker_async
from sandbox.executors import BaseModelExecutor, Checkpoint
from sandbox.job import (
    JobScope,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    rule,
)

_HEAD_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class CausalLMTraining(BaseModelExecutor):
    """Train a causal language model on the texts of a data pool, from a config or a checkpoint.

    A model from a config is a small Qwen2 that reads bytes: its tokenizer does not depend on the
    data, so that the perplexities of models trained on different data compare. A checkpoint brings
    its own tokenizer. Texts are joined, each ended by the end-of-text token, and cut into rows.
    AdamW, linear warm-up, cosine decay, gradients clipped at 1; bfloat16 on a GPU.

    Watched: ``loss`` and ``learning_rate`` and, on held-out text, ``eval_loss`` (nats a token),
    ``eval_perplexity`` (a token) and ``eval_bits_per_byte``.

    Args:
        dataset_path: Pool to train on.
        heldout_path: Pool to evaluate on while training; ``None`` does not evaluate.
        model_path: Folder of a Hugging Face causal language model to start from; ``None`` makes a
            new model of ``hidden_size`` and ``num_layers``.
        text_key: Key of a sample's text.
        max_steps: Optimizer steps, over as many passes through the data as they need.
        batch_size: Rows a step.
        sequence_length: Tokens a row.
        learning_rate: Peak learning rate.
        warmup_steps: Steps until the peak; more than ``max_steps`` count as ``max_steps``.
        weight_decay: Weight decay of AdamW.
        hidden_size: Width of a new model, a multiple of 32.
        num_layers: Layers of a new model.
        seed: Seed of the new weights and of the order of the rows.
        eval_steps: Steps between evaluations; the last step is always evaluated.
        logging_steps: Steps between reports of the loss.
        save_steps: Steps between saved states, from which an interrupted training resumes.
        env: Where the program runs.
    """

    PACKAGES = MODEL_PACKAGES

    RESUMABLE: ClassVar[bool] = True

    dataset_path: Path
    heldout_path: Path | None = None
    model_path: Path | None = None
    text_key: str = "text"
    max_steps: PositiveInt = 600
    batch_size: PositiveInt = 8
    sequence_length: PositiveInt = 128
    learning_rate: PositiveFloat = 8e-3
    warmup_steps: NonNegativeInt = 20
    weight_decay: NonNegativeFloat = 0.01
    hidden_size: PositiveInt = 64
    num_layers: PositiveInt = 2
    seed: int = 0
    eval_steps: PositiveInt = 100
    logging_steps: PositiveInt = 10
    save_steps: PositiveInt = 100
    env: Env = field(default_factory=CurrentEnv)

    @rule
    def _width_fits_the_heads(hidden_size: int) -> None:
        if hidden_size % _HEAD_SIZE:
            raise ValueError(f"hidden_size is {hidden_size}, which is no multiple of {_HEAD_SIZE}")

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        request = {name: value for name, value in vars(self).items() if name != "env"}
        # A longer warm-up would never reach the peak.
        request["warmup_steps"] = min(self.warmup_steps, self.max_steps)
        request["output_dir"] = scope.output_dir
        request["resume_dir"] = scope.resume_dir
        await run_worker_async("causal_lm_train", request, scope, self.env)

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        return Checkpoint(checkpoint_path=scope.output_dir / "checkpoint")
