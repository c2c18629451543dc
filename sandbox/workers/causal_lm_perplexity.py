"""Measure the perplexity of a causal language model on the texts of a JSON Lines file.

    python causal_lm_perplexity.py request.json

The request holds ``model_path``, ``heldout_path``, ``text_key``, ``sequence_length``, ``result_path``.
"""

from __future__ import annotations

import json
from pathlib import Path

import causal_lm_model as lm


def main() -> None:
    """Write loss, perplexity and bits per byte to the result file."""
    given = lm.request()
    model, tokenizer = lm.load(given["model_path"])
    rows, num_bytes = lm.blocks(
        given["heldout_path"], given["text_key"], tokenizer, given["sequence_length"]
    )
    scores = lm.evaluate(lm.place(model), rows, num_bytes)
    Path(given["result_path"]).write_text(json.dumps(scores), encoding="utf-8")


if __name__ == "__main__":
    main()
