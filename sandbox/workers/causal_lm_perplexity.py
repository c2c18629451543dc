"""Worker: measure the perplexity of a causal language model on the texts of a pool.

Request: ``model_path``, ``heldout_path``, ``text_key``, ``sequence_length``, ``per_text_path``
(receives what each text contributes).
Result: ``loss`` in nats a token, ``perplexity`` a token, ``bits_per_byte``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import causal_lm_model as lm
import torch
from torch import Tensor
from worker_start import start


def main(request: dict[str, Any]) -> dict[str, float]:
    """Score the model on the whole text, and write the part of each text in the scores."""
    model, tokenizer = lm.load(request["model_path"])
    blocks = lm.blocks(
        request["heldout_path"], request["text_key"], tokenizer, request["sequence_length"]
    )
    losses = lm.token_losses(lm.place(model), blocks.rows)
    sums = _sums(losses, blocks.lengths)
    # Over the mean length of a text, not its own: then the mean of all texts is the score.
    parts = {
        "loss": sums * len(sums) / len(losses),
        "bits_per_byte": sums * len(sums) / math.log(2) / blocks.num_bytes,
    }
    by_text = {name: dict(enumerate(values.tolist())) for name, values in parts.items()}
    Path(request["per_text_path"]).write_text(json.dumps(by_text), encoding="utf-8")
    return lm.scores(losses, blocks.num_bytes)


def _sums(losses: Tensor, lengths: Tensor) -> Tensor:
    """Add up the losses of each text; texts whose tokens are all left out are none."""
    owners = torch.repeat_interleave(lengths)[1 : len(losses) + 1]  # nothing predicts the first
    return torch.bincount(owners, weights=losses)


if __name__ == "__main__":
    start(main)
