"""Verbs and their objects in the texts of a data set, and their variety."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import run_worker
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_texts import write_rows, write_texts
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class VerbNounScores:
    """Variety of the verb–object pairs of a data set.

    Args:
        num_samples: Number of samples.
        pair_fraction: Share of samples with a pair; all other figures are of these alone.
        num_pairs: Different pairs.
        num_verbs: Different verbs.
        distinct_pair_ratio: ``num_pairs`` over all pairs; falls as a data set grows.
        pair_entropy: Entropy of the distribution of pairs, in bits.
        pairs_path: JSON Lines, ``{"verb": "write", "noun": "story", "count": 17}``, the most
            frequent first.
    """

    num_samples: int
    pair_fraction: float
    num_pairs: int
    num_verbs: int
    distinct_pair_ratio: float
    pair_entropy: float
    pairs_path: Path


@dataclass(frozen=True, kw_only=True)
class VerbNounDiversity(BaseEvaluator):
    """Count the pairs of verb and direct object that name the subject of a text.

    Made for instructions and captions: in the first sentence of a text, take the verb nearest to
    the root of the parse, and its direct object if that is a noun, both as lemmas ("write story").
    The dependency parser is spaCy's.

    Args:
        model_path: Folder of a spaCy model with tagger, lemmatizer and dependency parser, such as
            that of ``en_core_web_sm``, unpacked: its own folder or that of its package. Nothing is
            downloaded.
        text_key: Key of a sample's text.
        first_sentence: Parse the first sentence only; ``False`` takes the first sentence with a
            pair, among the first 10,000 characters.
        env: Env of the program.

    Source: Data-Juicer's ``analysis/diversity_analysis.py``, from self-instruct (arXiv 2212.10560).
    Unlike it, the search goes through all branches, level by level, not down the first one only;
    and it knows ``obj`` of Universal Dependencies besides ``dobj``.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"quality": ("spacy",)}

    model_path: Path
    text_key: str = "text"
    first_sentence: bool = True
    env: Env = field(default_factory=CurrentEnv)

    def check(self) -> None:
        """Raise ValueError if ``model_path`` is no model."""
        _model_dir(self.model_path)

    def run(
        self, eval_type: Literal["verb_noun_diversity"] | None, eval_obj: Path, *, scope: JobScope
    ) -> VerbNounScores:
        """Count the pairs of a pool.

        Raises:
            ValueError: ``model_path`` is no spaCy model.
        """
        import numpy as np

        self.check()  # again: an earlier job may have made the model after the plan
        with TemporaryDirectory(dir=scope.output_dir) as folder:
            texts_path = Path(folder, "texts.jsonl")
            num_samples = write_texts(eval_obj, self.text_key, texts_path)
            request = {
                "model_path": _model_dir(self.model_path),
                "texts_path": texts_path,
                "first_sentence": self.first_sentence,
            }
            result = run_worker("verb_noun_pairs", request, scope, self.env)
        pairs = Counter({(verb, noun): count for verb, noun, count in result["pairs"]})
        total = pairs.total()
        shares = np.fromiter(pairs.values(), dtype=np.float64) / max(total, 1)
        rows = [{"verb": v, "noun": n, "count": count} for (v, n), count in pairs.most_common()]
        return VerbNounScores(
            num_samples=num_samples,
            pair_fraction=total / num_samples,
            num_pairs=len(pairs),
            num_verbs=len({verb for verb, _ in pairs}),
            distinct_pair_ratio=len(pairs) / max(total, 1),
            pair_entropy=max(float(-(shares * np.log2(shares)).sum()), 0.0),
            pairs_path=write_rows(scope.output_dir / "pairs.jsonl", rows),
        )


def _model_dir(model_path: Path) -> Path:
    """Return the folder with ``config.cfg``: the given one, or the first right below it."""
    for config_path in (model_path / "config.cfg", *model_path.glob("*/config.cfg")):
        if config_path.is_file():
            return config_path.parent
    raise ValueError(
        f"model_path: {model_path} is no spaCy model; expected a folder with config.cfg and "
        "meta.json, such as the one inside the package of en_core_web_sm"
    )
