"""Perplexity of causal language models on held-out text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker
from sandbox.evaluators import BaseEvaluator
from sandbox.job import JobScope, PositiveInt, score


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """Prediction quality of a language model on a text.

    Models with the same tokenizer compare by all three, others by ``bits_per_byte`` alone.

    Args:
        perplexity: Exponential of ``loss``.
        bits_per_byte: Cross-entropy of the whole text over its UTF-8 bytes.
        loss: Mean cross-entropy in nats per token.
        per_text_path: What each text contributes to ``bits_per_byte`` and ``loss``, JSON,
            ``{metric: {number of the text, from 0: value}}``. The mean over the texts is the score:
            a value is the sum over the text, divided by the mean length of a text.
    """

    perplexity: float = score(lower_is_better=True)
    bits_per_byte: float = score(lower_is_better=True)
    loss: float = score(lower_is_better=True)
    per_text_path: Path


@dataclass(frozen=True, kw_only=True)
class PerplexityEvaluator(BaseEvaluator):
    """Measure how well a causal language model predicts text that it was not trained on.

    Texts are joined and cut into rows; a token is predicted from the tokens before it in its row.

    Args:
        heldout_path: The text, a data pool.
        text_key: Key of a sample's text.
        sequence_length: Tokens per row.
        env: Env of the program.
    """

    VERSION: ClassVar[int] = 2
    PACKAGES = MODEL_PACKAGES

    heldout_path: Path
    text_key: str = "text"
    sequence_length: PositiveInt = 128
    env: Env = field(default_factory=CurrentEnv)

    def run(
        self, eval_type: Literal["perplexity"] | None, eval_obj: Path, *, scope: JobScope
    ) -> Perplexity:
        """Measure a checkpoint folder."""
        per_text_path = scope.output_dir / "per_text.json"
        request = {
            "model_path": eval_obj,
            "heldout_path": self.heldout_path,
            "text_key": self.text_key,
            "sequence_length": self.sequence_length,
            "per_text_path": per_text_path,
        }
        scores = run_worker("causal_lm_perplexity", request, scope, self.env)
        return Perplexity(**scores, per_text_path=per_text_path)
