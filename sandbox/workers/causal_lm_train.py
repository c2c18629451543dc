"""Worker: train a causal language model on the texts of a pool.

Request: the arguments of ``CausalLMTraining``, ``output_dir`` (receives ``checkpoint/``) and
``resume_dir`` (receives the state every ``save_steps``). A worker that is started again resumes
from the state and reaches the same weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import causal_lm_model as lm
import torch
from torch import Tensor
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup, set_seed
from worker_start import InputError, report, start

_CLIP_NORM = 1.0


def main(request: dict[str, Any]) -> None:
    """Train, and save the model with its tokenizer."""
    set_seed(request["seed"])
    model, tokenizer = _start(request)
    options = (request["text_key"], tokenizer, request["sequence_length"])
    rows = lm.blocks(request["dataset_path"], *options).rows
    heldout = None
    if request["heldout_path"]:
        heldout = lm.blocks(request["heldout_path"], *options)
    training = _Training(lm.place(model), request, len(rows))
    training.resume()
    while training.step < request["max_steps"]:
        training.advance(rows)
        last = training.step == request["max_steps"]
        if heldout and (last or training.step % request["eval_steps"] == 0):
            scores = lm.scores(lm.token_losses(model, heldout.rows), heldout.num_bytes)
            report({f"eval_{name}": value for name, value in scores.items()}, training.step)
        if not last and training.step % request["save_steps"] == 0:
            training.save()
    checkpoint = Path(request["output_dir"], "checkpoint")
    model.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)


def _start(request: dict[str, Any]) -> tuple[PreTrainedModel, Any]:
    if request["model_path"]:
        return lm.load(request["model_path"])
    tokenizer = lm.byte_tokenizer()
    return lm.from_config(len(tokenizer), request["hidden_size"], request["num_layers"]), tokenizer


class _Training:
    """Model, optimizer, schedule and the number of steps done: the content of a state file."""

    def __init__(self, model: PreTrainedModel, request: dict[str, Any], num_rows: int) -> None:
        self._state_path = Path(request["resume_dir"], "state.pt")
        self.step = 0
        self._model = model
        self._request = request
        self._num_rows = num_rows
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=request["learning_rate"],
            weight_decay=request["weight_decay"],
            betas=(0.9, 0.95),
        )
        self._schedule = get_cosine_schedule_with_warmup(
            self._optimizer, request["warmup_steps"], request["max_steps"]
        )

    def advance(self, rows: Tensor) -> None:
        """Do one step and report its loss every ``logging_steps``."""
        self._model.train()
        batch = rows[self._draw()].to(self._model.device)
        loss = lm.token_loss(self._model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP_NORM)
        rate = self._schedule.get_last_lr()[0]
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        self.step += 1
        is_first_or_last = self.step in (1, self._request["max_steps"])
        if is_first_or_last or self.step % self._request["logging_steps"] == 0:
            value = loss.item()
            if not math.isfinite(value):
                raise InputError(f"the loss is {value} at step {self.step}; lower learning_rate")
            report({"loss": value, "learning_rate": rate}, self.step)

    def save(self) -> None:
        """Replace the state file; a file that exists is complete."""
        state = {
            "step": self.step,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        self._state_path.parent.mkdir(exist_ok=True)
        partial = self._state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._state_path)

    def resume(self) -> None:
        """Load the state file, if there is one."""
        if not self._state_path.exists():
            return
        device = self._model.device
        state = torch.load(self._state_path, map_location=device, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        self.step = state["step"]
        print(f"resumed at step {self.step}", flush=True)

    def _draw(self) -> Tensor:
        """Choose the rows of the next batch: passes over the data, each in its own order."""
        size = self._request["batch_size"]
        numbers = range(self.step * size, (self.step + 1) * size)
        orders: dict[int, Tensor] = {}
        for epoch in {number // self._num_rows for number in numbers}:
            generator = torch.Generator().manual_seed(1_000_003 * self._request["seed"] + epoch)
            orders[epoch] = torch.randperm(self._num_rows, generator=generator)
        return torch.stack(
            [orders[number // self._num_rows][number % self._num_rows] for number in numbers]
        )


if __name__ == "__main__":
    start(main)
