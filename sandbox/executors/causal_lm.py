"""Training of causal language models with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.executors import BaseModelExecutor
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "causal_lm_train.py"
_HEAD_SIZE = 32


class CausalLMTraining(BaseModelExecutor):
    """Train a causal language model on the texts of a data set, from a config or a checkpoint.

    A model from a config is a small Qwen2 that reads bytes: its tokenizer is the same whatever the
    data, so that models trained on different data compare by their perplexity. A checkpoint brings its
    own tokenizer. Texts are joined, each ended by the end-of-text token, and cut into rows. AdamW,
    linear warm-up, cosine decay, gradients clipped at 1; bfloat16 on a GPU. While it trains, ``loss``
    and ``learning_rate`` are watched and, on held-out text, ``eval_loss`` (nats a token),
    ``eval_perplexity`` (a token) and ``eval_bits_per_byte``.

    Args:
        dataset_path: Data set to train on, JSON Lines, one sample a line.
        heldout_path: Data set to evaluate on while training; ``None`` is no evaluation.
        model_path: Folder of a Hugging Face causal language model to go on with; ``None`` is a new
            model of ``hidden_size`` and ``num_layers``.
        text_key: Key of a sample's text.
        max_steps: Steps of the optimizer, over as many passes through the data as they need.
        batch_size: Rows a step.
        sequence_length: Tokens a row.
        learning_rate: Peak learning rate.
        warmup_steps: Steps until the peak; at most ``max_steps``.
        weight_decay: Weight decay of AdamW.
        hidden_size: Width of a new model, a multiple of 32.
        num_layers: Layers of a new model.
        seed: Seed of the new weights and of the order of the rows.
        eval_steps: Steps between evaluations; the last step is always evaluated.
        logging_steps: Steps between reports of the loss.
        save_steps: Steps between states, from which a training that was cut off goes on.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: A number is not positive, or ``hidden_size`` no multiple of 32.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)
    RESUMABLE: ClassVar[bool] = True

    def __init__(
        self,
        dataset_path: Path,
        heldout_path: Path | None = None,
        model_path: Path | None = None,
        text_key: str = "text",
        max_steps: int = 600,
        batch_size: int = 8,
        sequence_length: int = 128,
        learning_rate: float = 8e-3,
        warmup_steps: int = 20,
        weight_decay: float = 0.01,
        hidden_size: int = 64,
        num_layers: int = 2,
        seed: int = 0,
        eval_steps: int = 100,
        logging_steps: int = 10,
        save_steps: int = 100,
        env: Env | None = None,
    ) -> None:
        positive: dict[str, float] = {
            "max_steps": max_steps,
            "batch_size": batch_size,
            "sequence_length": sequence_length,
            "learning_rate": learning_rate,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "eval_steps": eval_steps,
            "logging_steps": logging_steps,
            "save_steps": save_steps,
        }
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name}: {value} is not positive")
        if warmup_steps < 0 or weight_decay < 0:
            raise ValueError(
                f"warmup_steps: {warmup_steps} or weight_decay: {weight_decay} is negative"
            )
        if hidden_size % _HEAD_SIZE:
            raise ValueError(f"hidden_size: {hidden_size} is no multiple of {_HEAD_SIZE}")
        self.dataset_path = dataset_path
        self.heldout_path = heldout_path
        self.model_path = model_path
        self.text_key = text_key
        self.seed = seed
        self.env = env or CurrentEnv()
        self._numbers = {
            **positive,
            "warmup_steps": min(warmup_steps, max_steps),
            "weight_decay": weight_decay,
            "seed": seed,
        }

    def data_connector(self, output_dir: Path) -> dict[str, str | None]:
        """The data sets as they are: the worker reads the sandbox's own format."""
        return {
            "dataset_path": str(self.dataset_path),
            "heldout_path": str(self.heldout_path) if self.heldout_path else None,
        }

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        request = {
            **data,
            **self._numbers,
            "model_path": str(self.model_path) if self.model_path else None,
            "text_key": self.text_key,
            "output_dir": str(output_dir),
        }
        request_path = output_dir / "request.json"
        request_path.write_text(json.dumps(request, indent=2), encoding="utf-8")
        await self.env.run_cmd_async(["python", _WORKER, request_path], log_path=log_path)

    def outputs(self, output_dir: Path) -> Outputs:
        """``checkpoint_path``: a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load."""
        return {"checkpoint_path": output_dir / "checkpoint"}
