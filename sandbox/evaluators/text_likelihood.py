"""Likelihood of every text of a pool under a language model: a quality score without training."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import MODEL_PACKAGES, run_worker
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_texts import write_texts
from sandbox.job import JobScope, NonNegativeInt, PositiveInt, rule, score

# exp() of more is not finite.
_MAX_NATS = 700.0


@dataclass(frozen=True, kw_only=True)
class LikelihoodScores:
    """Likelihood of the texts of a pool.

    Args:
        num_samples: Number of samples.
        num_empty: Samples without a token; their scores are ``null`` and excluded from means.
        num_long: Samples longer than one window.
        num_tokens: Tokens of all samples.
        log_likelihood: Mean log-likelihood per token in nats, averaged over the samples.
        perplexity: Perplexity per token of all samples together; long ones weigh more.
        bits_per_byte: Bits of all samples together over their UTF-8 bytes. This also compares
            models with different tokenizers.
        scores_path: A statistics file as Data-Juicer writes it beside a data set, one line per
            sample in the order of the pool: ``{"__dj__stats__": {"lm_log_likelihood": -3.1,
            "lm_perplexity": 22.2, "lm_bits_per_byte": 1.1, "lm_num_tokens": 42}}``.
    """

    num_samples: int
    num_empty: int
    num_long: int
    num_tokens: int
    log_likelihood: float = score()
    perplexity: float = score(lower_is_better=True)
    bits_per_byte: float = score(lower_is_better=True)
    scores_path: Path


@dataclass(frozen=True, kw_only=True)
class TextLikelihood(BaseEvaluator):
    """Score texts by their likelihood under a causal language model.

    Each text is scored alone, after the token that begins (else: ends) a text; the end of the text
    is not scored. No text is cut: one longer than ``window`` is read in windows, each of which
    repeats the last ``overlap`` tokens of the previous one as context. Scores compare texts under
    one model; those of short texts vary more. Weights are bfloat16 on a GPU, else float32.

    Args:
        model_path: Folder of a Hugging Face causal language model; ``executor=smollm2`` makes one
            from a package.
        text_key: Key of a sample's text.
        window: Tokens that the model reads at a time.
        overlap: Tokens of a window that are context only, from the second window on.
        batch_tokens: Tokens per batch; each needs 4 bytes of memory times the vocabulary.
        env: Env of the program.
    """

    PACKAGES = MODEL_PACKAGES

    model_path: Path
    text_key: str = "text"
    window: PositiveInt = 1024
    overlap: NonNegativeInt = 256
    batch_tokens: PositiveInt = 2048
    env: Env = field(default_factory=CurrentEnv)

    @rule
    def _overlap_below_window(window: int, overlap: int) -> None:
        if overlap >= window:
            raise ValueError(f"overlap is {overlap}; expected less than window, which is {window}")

    def check(self) -> None:
        """Raise ValueError if ``model_path`` is no checkpoint or reads less than ``window``."""
        try:
            config = json.loads((self.model_path / "config.json").read_text(encoding="utf-8"))
            limit = config.get("max_position_embeddings")
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(
                f"model_path: {self.model_path} is not a checkpoint of a causal language model; "
                "expected a folder with a config.json, such as executor=smollm2 makes"
            ) from error
        if isinstance(limit, int) and self.window > limit:
            raise ValueError(
                f"window: {self.window}, but {self.model_path} reads {limit} tokens at most"
            )

    def run(
        self, eval_type: Literal["text_likelihood"] | None, eval_obj: Path, *, scope: JobScope
    ) -> LikelihoodScores:
        """Score the texts of a pool.

        Raises:
            ValueError: ``model_path`` is no checkpoint or reads less than ``window``, or no sample
                has a token.
        """
        self.check()  # again: an earlier job may have made the checkpoint after the plan
        with TemporaryDirectory(dir=scope.output_dir) as folder:
            texts_path, scores_path = Path(folder, "texts.jsonl"), Path(folder, "scores.jsonl")
            num_samples = write_texts(eval_obj, self.text_key, texts_path)
            request = {
                "model_path": self.model_path,
                "texts_path": texts_path,
                "num_texts": num_samples,
                "window": self.window,
                "overlap": self.overlap,
                "batch_tokens": self.batch_tokens,
                "scores_path": scores_path,
            }
            sums = run_worker("causal_lm_likelihood", request, scope, self.env)
            num_empty, num_tokens = sums["num_empty"], sums["num_tokens"]
            if not num_tokens:
                raise ValueError(
                    f"{eval_obj}: none of its {num_samples} samples has a token to score"
                )
            scores_path = scores_path.replace(scope.output_dir / "scores.jsonl")
        return LikelihoodScores(
            num_samples=num_samples,
            num_empty=num_empty,
            num_long=sums["num_long"],
            num_tokens=num_tokens,
            log_likelihood=-sums["mean_nats"] / (num_samples - num_empty),
            perplexity=math.exp(min(sums["nats"] / num_tokens, _MAX_NATS)),
            bits_per_byte=sums["nats"] / math.log(2) / sums["num_bytes"],
            scores_path=scores_path,
        )
