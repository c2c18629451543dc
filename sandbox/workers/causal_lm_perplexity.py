"""Worker: measure the perplexity of a causal language model on the texts of a pool.

Request: ``model_path``, ``heldout_path``, ``text_key``, ``sequence_length``.
Result: ``loss`` in nats a token, ``perplexity`` a token, ``bits_per_byte``.
"""

from __future__ import annotations

from typing import Any

import causal_lm_model as lm
from worker_start import start


def main(request: dict[str, Any]) -> dict[str, float]:
    """Score the model on the whole text."""
    model, tokenizer = lm.load(request["model_path"])
    rows, num_bytes = lm.blocks(
        request["heldout_path"], request["text_key"], tokenizer, request["sequence_length"]
    )
    return lm.evaluate(lm.place(model), rows, num_bytes)


if __name__ == "__main__":
    start(main)
