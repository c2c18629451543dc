"""How probable a language model finds every text of a pool: a quality score that needs no training."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_reader import check_type, pool_path, write_texts
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "causal_lm_likelihood.py"


class TextLikelihood(BaseEvaluator):
    """Score texts by their likelihood under a causal language model.

    Each text is scored by itself, after the token that begins (else: ends) a text; what the model is
    not asked is whether the text ends where it does. No text is cut: one longer than ``window``
    is read in windows, each of which repeats the last ``overlap`` tokens of the one before as
    context. Scores compare texts under one model; those of short texts vary more.

    Outputs:
        num_samples: Number of samples.
        num_empty: Samples without a token; their scores are ``null`` and in no mean.
        num_long: Samples longer than one window.
        num_tokens: Tokens of all samples.
        log_likelihood: Mean over the samples of their mean log-likelihood a token, in nats.
        perplexity: Perplexity a token of all samples together; long ones weigh more.
        bits_per_byte: Bits that all samples together take, over their UTF-8 bytes: this also compares
            models with different tokenizers.
        scores_path: A statistics file as Data-Juicer writes it beside a data set, one line a sample in
            the pool's order: ``{"__dj__stats__": {"lm_log_likelihood": -3.1, "lm_perplexity": 22.2,
            "lm_bits_per_byte": 1.1, "lm_num_tokens": 42}}``.

    Progress is in ``likelihood.log``. bfloat16 on a GPU, else float32.

    Args:
        model_path: Folder of a Hugging Face causal language model; ``executor=smollm2`` makes one from a
            package.
        text_key: Key of a sample's text.
        window: Tokens that the model reads at a time.
        overlap: Tokens of a window that are context only, from the second one on; below ``window``.
        batch_tokens: Tokens a batch; more need more memory, 4 bytes times the vocabulary each.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: A number is out of range.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "num_empty",
        "num_long",
        "num_tokens",
        "log_likelihood",
        "perplexity",
        "bits_per_byte",
        "scores_path",
    )
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ("perplexity", "bits_per_byte")

    def __init__(
        self,
        model_path: Path,
        text_key: str = "text",
        window: int = 1024,
        overlap: int = 256,
        batch_tokens: int = 2048,
        env: Env | None = None,
    ) -> None:
        if window < 1 or batch_tokens < 1:
            raise ValueError(f"window: {window} or batch_tokens: {batch_tokens} is not positive")
        if not 0 <= overlap < window:
            raise ValueError(f"overlap: {overlap} is not between 0 and window, {window}")
        self.model_path = model_path
        self.text_key = text_key
        self.window = window
        self.overlap = overlap
        self.batch_tokens = batch_tokens
        self.env = env or CurrentEnv()

    def check(self) -> None:
        """Raise ValueError where ``model_path`` is no checkpoint or reads less than ``window``."""
        try:
            config = json.loads((self.model_path / "config.json").read_text(encoding="utf-8"))
            limit = config.get("max_position_embeddings")
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(
                f"model_path: {self.model_path} is not a checkpoint of a causal language model: expected a "
                "folder with a config.json, such as executor=smollm2 makes"
            ) from error
        if isinstance(limit, int) and self.window > limit:
            raise ValueError(
                f"window: {self.window}, but {self.model_path} reads {limit} tokens at most"
            )

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the pool ``eval_obj``.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, ``model_path`` is no checkpoint or
                reads less than ``window``, a sample cannot be read, or no sample has a token.
            FileNotFoundError: The pool is missing.
            ProcessError: The checkpoint is none of a causal language model.
        """
        check_type(eval_type, "text_likelihood")
        pool = pool_path(eval_obj)
        self.check()
        with tempfile.TemporaryDirectory(dir=output_dir) as folder:
            num_samples = write_texts(pool, self.text_key, Path(folder, "texts.jsonl"))
            sums = self._sums(Path(folder), num_samples, output_dir)
            if not sums["num_tokens"]:
                raise ValueError(f"{pool}: none of its {num_samples} samples has a token to score")
            scores_path = Path(folder, "scores.jsonl").replace(output_dir / "scores.jsonl")
        return {
            **{name: int(sums[name]) for name in ("num_empty", "num_long", "num_tokens")},
            "num_samples": num_samples,
            "log_likelihood": -sums["mean_nats"] / (num_samples - sums["num_empty"]),
            "perplexity": math.exp(min(sums["nats"] / sums["num_tokens"], 700.0)),
            "bits_per_byte": sums["nats"] / math.log(2) / sums["num_bytes"],
            "scores_path": scores_path,
        }

    def _sums(self, folder: Path, num_samples: int, output_dir: Path) -> dict[str, float]:
        request = {
            "model_path": str(self.model_path),
            "texts_path": str(folder / "texts.jsonl"),
            "num_texts": num_samples,
            "window": self.window,
            "overlap": self.overlap,
            "batch_tokens": self.batch_tokens,
            "scores_path": str(folder / "scores.jsonl"),
            "result_path": str(folder / "result.json"),
        }
        request_path = folder / "request.json"
        request_path.write_text(json.dumps(request), encoding="utf-8")
        log_path = output_dir / "likelihood.log"
        self.env.run_cmd(["python", _WORKER, request_path], log_path=log_path, echo=False)
        sums: dict[str, float] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return sums
