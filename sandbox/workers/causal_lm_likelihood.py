"""Worker: score every text by its likelihood under a causal language model.

Request: ``model_path``, ``texts_path`` (a pool with the texts under ``text``), ``num_texts``,
``window``, ``overlap``, ``batch_tokens``, ``scores_path`` (written, one line a text, in order).
Result: sums over all texts, ``num_texts``, ``num_empty``, ``num_long``, ``num_tokens``,
``num_bytes``, ``nats`` (of all tokens) and ``mean_nats`` (of the texts' means).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import causal_lm_model as lm
import torch
from sample_files import STATS, texts
from torch import Tensor
from worker_start import InputError, start

_CHUNK = 2048  # texts that are sorted by length together, for batches with little padding
_REPORT_S = 10.0
_MOST_NATS = 700.0  # the exponential of more overflows

Window = tuple[int, list[int], int]
"""Number of its text, its tokens, and the number of first predictions that another counts."""


def main(request: dict[str, Any]) -> dict[str, float]:
    """Write the scores, a chunk of texts at a time."""
    model, tokenizer = lm.load(request["model_path"])
    start_token = tokenizer.bos_token_id
    if start_token is None:
        start_token = tokenizer.eos_token_id
    if start_token is None:
        raise InputError(
            f"{request['model_path']}: its tokenizer has no token that begins or ends a text"
        )
    scorer = _Scorer(lm.place(model).train(False), tokenizer, start_token, request)
    with Path(request["scores_path"]).open("w", encoding="utf-8") as out:
        content = texts([Path(request["texts_path"])], "text")
        while chunk := list(islice(content, _CHUNK)):
            out.writelines(json.dumps({STATS: score}) + "\n" for score in scorer.score(chunk))
    return scorer.sums


class _Scorer:
    """Scores texts chunk by chunk and sums up their likelihoods."""

    def __init__(
        self, model: Any, tokenizer: Any, start_token: int, request: dict[str, Any]
    ) -> None:
        self.sums: dict[str, float] = dict.fromkeys(
            ("num_texts", "num_empty", "num_long", "num_tokens", "num_bytes", "nats", "mean_nats"),
            0,
        )
        self._model = model
        self._tokenizer = tokenizer
        self._start = start_token
        self._request = request
        self._reported = self._began = time.monotonic()

    def score(self, chunk: list[str]) -> Iterator[dict[str, float | None]]:
        """Yield the statistics of some texts, in order."""
        tokens = self._tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]
        windows: list[Window] = []
        for number, row in enumerate(tokens):
            windows += self._windows(number, row)
        nats = [0.0] * len(chunk)
        for batch in self._batches(windows):
            for (number, _, _), found in zip(batch, self._nats(batch), strict=True):
                nats[number] += found
            self._report(len(chunk))
        for text, row, found in zip(chunk, tokens, nats, strict=True):
            yield self._statistics(len(text.encode()), len(row), found)

    def _windows(self, number: int, tokens: list[int]) -> Iterator[Window]:
        """Cut a text's tokens, after the start token, into windows that overlap."""
        window, overlap = self._request["window"], self._request["overlap"]
        row = [self._start, *tokens]
        for first in range(0, max(len(row) - 1 - overlap, min(len(tokens), 1)), window - overlap):
            yield number, row[first : first + window + 1], overlap if first else 0

    def _batches(self, windows: list[Window]) -> Iterator[list[Window]]:
        """Group windows of about one length, longest first, as many as ``batch_tokens`` allows."""
        ordered = sorted(windows, key=lambda window: -len(window[1]))
        while ordered:
            size = max(1, self._request["batch_tokens"] // len(ordered[0][1]))
            yield ordered[:size]
            ordered = ordered[size:]

    @torch.no_grad()
    def _nats(self, batch: list[Window]) -> list[float]:
        """Return minus the log-likelihood of the tokens that each window counts."""
        longest = len(batch[0][1])
        # Padding comes after a row's tokens, which therefore cannot attend to it.
        rows = torch.tensor(
            [[*tokens, *[self._start] * (longest - len(tokens))] for _, tokens, _ in batch]
        )
        losses = lm.token_loss(self._model, rows.to(self._model.device), reduction="none")
        place = torch.arange(longest - 1)
        ends = torch.tensor([len(tokens) - 1 for _, tokens, _ in batch])
        starts = torch.tensor([skipped for _, _, skipped in batch])
        counted: Tensor = (place >= starts[:, None]) & (place < ends[:, None])
        found: list[float] = (
            (losses.view(len(batch), -1).cpu().double() * counted).sum(dim=1).tolist()
        )
        return found

    def _statistics(self, num_bytes: int, num_tokens: int, nats: float) -> dict[str, float | None]:
        loss = nats / num_tokens if num_tokens else None
        self.sums["num_texts"] += 1
        self.sums["num_empty"] += loss is None
        self.sums["num_long"] += num_tokens > self._request["window"]
        self.sums["num_tokens"] += num_tokens
        self.sums["num_bytes"] += num_bytes
        self.sums["nats"] += nats
        self.sums["mean_nats"] += loss or 0.0
        return {
            "lm_log_likelihood": None if loss is None else -loss,
            "lm_perplexity": None if loss is None else math.exp(min(loss, _MOST_NATS)),
            "lm_bits_per_byte": None if loss is None else nats / math.log(2) / num_bytes,
            "lm_num_tokens": num_tokens,
        }

    def _report(self, num_texts: int) -> None:
        if time.monotonic() - self._reported > _REPORT_S:
            self._reported = time.monotonic()
            done = int(self.sums["num_texts"])
            print(
                f"{done} of {self._request['num_texts']} texts done, working on the next "
                f"{num_texts}, {self._reported - self._began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    start(main)
