"""Perplexity of causal language models on held-out text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.evaluators import BaseEvaluator
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "causal_lm_perplexity.py"


class PerplexityEvaluator(BaseEvaluator):
    """Measure how well a causal language model predicts text that it was not trained on.

    ``loss`` is the mean cross-entropy in nats a token, ``perplexity`` its exponential, and
    ``bits_per_byte`` the cross-entropy of the whole text over its UTF-8 bytes. Models with the same
    tokenizer compare by all three, others by ``bits_per_byte`` alone. Texts are joined and cut into
    rows; a token is predicted from what stands before it in its row.

    Args:
        heldout_path: The text, JSON Lines, one sample a line.
        text_key: Key of a sample's text.
        sequence_length: Tokens a row.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: ``sequence_length`` is not positive.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("perplexity", "bits_per_byte", "loss")
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = OUTPUTS

    def __init__(
        self,
        heldout_path: Path,
        text_key: str = "text",
        sequence_length: int = 128,
        env: Env | None = None,
    ) -> None:
        if sequence_length <= 0:
            raise ValueError(f"sequence_length: {sequence_length} is not positive")
        self.heldout_path = heldout_path
        self.text_key = text_key
        self.sequence_length = sequence_length
        self.env = env or CurrentEnv()

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Measure the checkpoint folder ``eval_obj``.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else.
            ProcessError: ``eval_obj`` is no checkpoint, or the text cannot be read.
        """
        if eval_type not in (None, "perplexity"):
            raise ValueError(f"eval_type: {eval_type!r}; available: perplexity")
        if not isinstance(eval_obj, (str, Path)):
            raise ValueError(
                f"eval_obj: expected one checkpoint's path (several: map), not {eval_obj!r}"
            )
        result_path = output_dir / "perplexity.json"
        request = {
            "model_path": str(eval_obj),
            "heldout_path": str(self.heldout_path),
            "text_key": self.text_key,
            "sequence_length": self.sequence_length,
            "result_path": str(result_path),
        }
        request_path = output_dir / "request.json"
        request_path.write_text(json.dumps(request, indent=2), encoding="utf-8")
        log_path = output_dir / "perplexity.log"
        self.env.run_cmd(["python", _WORKER, request_path], log_path=log_path, echo=False)
        scores = json.loads(result_path.read_text(encoding="utf-8"))
        return {name: scores[name] for name in self.OUTPUTS}
