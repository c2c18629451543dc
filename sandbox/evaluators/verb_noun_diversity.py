"""Which verb–object pairs the texts of a data set begin with, and how varied they are."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sandbox.envs import CurrentEnv, Env
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_reader import check_type, pool_path, write_texts
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "verb_noun_pairs.py"


class VerbNounDiversity(BaseEvaluator):
    """Count the pairs of verb and direct object that say what the texts of a data set are about.

    Made for instructions and captions: of a text's first sentence it takes the verb nearest to the
    root of the parse, and that verb's direct object where it is a noun, both as lemmas ("write
    story"). A dependency parser of spaCy does the parsing.

    Outputs:
        num_samples: Number of samples.
        pair_fraction: Share of samples with such a pair; the other figures are of these alone.
        num_pairs: Different pairs.
        num_verbs: Different verbs.
        distinct_pair_ratio: ``num_pairs`` over all pairs; falls as a data set grows.
        pair_entropy: Entropy of a pair, in bits.
        pairs_path: JSON Lines, ``{"verb": "write", "noun": "story", "count": 17}``, the most frequent first.

    Args:
        model_path: Folder of a spaCy model with tagger, lemmatizer and dependency parser, such as
            ``en_core_web_sm``'s, unpacked: its own folder or that of its package. Nothing is
            downloaded.
        text_key: Key of a sample's text.
        first_sentence: Look at the first sentence only; ``False`` takes the first one with a pair, among
            the first 10,000 characters.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: spaCy is missing.

    Source: Data-Juicer's ``analysis/diversity_analysis.py``, from self-instruct (arXiv 2212.10560).
    Unlike it, the search goes through all branches, level by level, not down the first one only; and it
    knows Universal Dependencies' ``obj`` beside ``dobj``.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "pair_fraction",
        "num_pairs",
        "num_verbs",
        "distinct_pair_ratio",
        "pair_entropy",
        "pairs_path",
    )

    def __init__(
        self,
        model_path: Path,
        text_key: str = "text",
        first_sentence: bool = True,
        env: Env | None = None,
    ) -> None:
        self.model_path = model_path
        self.text_key = text_key
        self.first_sentence = first_sentence
        self.env = env or CurrentEnv()

    def check(self) -> None:
        """Raise ValueError where spaCy is missing (another env has its own) or ``model_path`` is no model."""
        if isinstance(self.env, CurrentEnv) and find_spec("spacy") is None:
            raise ValueError("spacy is not installed; pip install 'sandbox[quality]'")
        _model_dir(self.model_path)

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Describe the pool ``eval_obj``.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, ``model_path`` is no spaCy model, or
                a sample cannot be read.
            FileNotFoundError: The pool is missing.
            ProcessError: The model has no parser, or spaCy failed.
        """
        check_type(eval_type, "verb_noun_diversity")
        self.check()
        with tempfile.TemporaryDirectory(dir=output_dir) as folder:
            num_samples = write_texts(
                pool_path(eval_obj), self.text_key, Path(folder, "texts.jsonl")
            )
            pairs = self._pairs(Path(folder), output_dir)
        total = pairs.total()
        pairs_path = output_dir / "pairs.jsonl"
        with pairs_path.open("w", encoding="utf-8") as out:
            for (verb, noun), count in pairs.most_common():
                out.write(
                    json.dumps({"verb": verb, "noun": noun, "count": count}, ensure_ascii=False)
                    + "\n"
                )
        return {
            "num_samples": num_samples,
            "pair_fraction": total / num_samples,
            "num_pairs": len(pairs),
            "num_verbs": len({verb for verb, _ in pairs}),
            "distinct_pair_ratio": len(pairs) / total if total else 0.0,
            "pair_entropy": _entropy(pairs),
            "pairs_path": pairs_path,
        }

    def _pairs(self, folder: Path, output_dir: Path) -> Counter[tuple[str, str]]:
        request = {
            "model_path": str(_model_dir(self.model_path)),
            "texts_path": str(folder / "texts.jsonl"),
            "first_sentence": self.first_sentence,
            "result_path": str(folder / "pairs.json"),
        }
        request_path = folder / "request.json"
        request_path.write_text(json.dumps(request), encoding="utf-8")
        log_path = output_dir / "spacy.log"
        self.env.run_cmd(["python", _WORKER, request_path], log_path=log_path, echo=False)
        rows = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
        return Counter({(verb, noun): count for verb, noun, count in rows})


def _model_dir(model_path: Path) -> Path:
    """The folder with ``config.cfg``: the given one, or the only one right under it that has it."""
    found = [path.parent for path in (model_path / "config.cfg", *model_path.glob("*/config.cfg"))]
    found = [folder for folder in found if (folder / "config.cfg").is_file()]
    if not found:
        raise ValueError(
            f"model_path: {model_path} is no spaCy model; expected a folder with config.cfg and meta.json, "
            "such as the one inside the package of en_core_web_sm"
        )
    return found[0]


def _entropy(pairs: Counter[tuple[str, str]]) -> float:
    if not pairs:
        return 0.0
    shares = np.fromiter(pairs.values(), dtype=np.float64) / pairs.total()
    return max(float(-(shares * np.log2(shares)).sum()), 0.0)
