"""Data-Juicer's quality classifier: the probability that a text resembles curated corpora."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Literal

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import run_worker
from sandbox.evaluators import BaseEvaluator, check_package
from sandbox.evaluators.pool_texts import write_rows, write_texts
from sandbox.job import JobScope, PositiveInt, score
from sandbox.samples import STATS

if TYPE_CHECKING:
    from sandbox.evaluators.statistic_columns import Floats

_COLUMNS = ("doc_score", "keep_label", "keep_pareto")
_OF_SPARK = re.compile(r"(?:org\.apache\.spark|pyspark)\.ml\.[\w.]+").fullmatch
_EXPECTED = (
    "expected the folder of a saved pyspark PipelineModel (gpt3_quality_model, "
    "chinese_quality_model or code_quality_model of Data-Juicer, unpacked)"
)


@dataclass(frozen=True, kw_only=True)
class QualityScores:
    """Quality of the texts of a pool.

    Args:
        num_samples: Number of samples.
        mean_score: Mean score; the one number of Data-Juicer Sandbox.
        std_score: Standard deviation; ``q1``, ``median`` and ``q3`` are quartiles.
        keep_ratio_label: Share of samples that *label* keeps.
        keep_ratio_pareto: Share of samples that *pareto* keeps.
        scores_path: A statistics file as Data-Juicer writes it beside a data set, one line per
            sample in the order of the pool:
            ``{"__dj__stats__": {"doc_score": 0.93, "keep_label": true, "keep_pareto": true}}``.
    """

    num_samples: int
    mean_score: float = score()
    std_score: float
    q1_score: float = score()
    median_score: float = score()
    q3_score: float = score()
    keep_ratio_label: float = score()
    keep_ratio_pareto: float = score()
    scores_path: Path


@dataclass(frozen=True, kw_only=True)
class TextQuality(BaseEvaluator):
    """Score texts with a quality classifier of Data-Juicer.

    A classifier is a pyspark pipeline: words (split at white space, or by a sentencepiece model),
    hashed term frequencies, logistic regression, after GPT-3 (Brown et al. 2020, appendix A). The
    score of a text is the probability that it is of the good kind, 0 to 1. *label* keeps scores
    above 0.5; *pareto* keeps scores above 1 - x with x drawn from ``numpy.random.pareto(9)``, so
    that some lower scored texts remain.

    Args:
        model_path: Folder of the classifier, a saved ``PipelineModel``: one of Data-Juicer's zoo,
            or one that its ``train.py`` has made. Nothing is downloaded.
        tokenizer_path: The sentencepiece model that the classifier was trained with
            (``zh.sp.model``, ``code.sp.model``); ``None`` if the pipeline contains a tokenizer.
        text_key: Key of a sample's text.
        num_threads: Threads of Spark.
        memory_gb: Memory of Spark; the rest is spilled to disk.
        seed: Seed of the *pareto* draws; one draw per sample, in order.
        env: Env of the program.

    Source: ``data_juicer/tools/quality_classifier`` of py-data-juicer 1.6.1. The same scores.
    Unlike it: no download, no 64 GB of memory requested, *pareto* has a seed, and Spark itself
    takes the probabilities, not a Python function: 16 s in place of 35 on 50,000 texts, 10 of them
    the start of Spark.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"quality": ("pyspark",)}

    model_path: Path
    tokenizer_path: Path | None = None
    text_key: str = "text"
    num_threads: PositiveInt = 2
    memory_gb: PositiveInt = 2
    seed: int = 0
    env: Env = field(default_factory=CurrentEnv)

    def check(self) -> None:
        """Raise ValueError if Java or pyspark is missing, or ``model_path`` is no classifier."""
        is_here = isinstance(self.env, CurrentEnv)  # another env brings its own packages
        if is_here:
            _check_java()
        has_tokenizer = self._has_tokenizer()
        if has_tokenizer and self.tokenizer_path:
            raise ValueError(
                f"tokenizer_path: got {self.tokenizer_path}, but {self.model_path} contains a "
                "tokenizer; leave it out"
            )
        if not has_tokenizer and not self.tokenizer_path:
            raise ValueError(
                f"tokenizer_path: {self.model_path} contains no tokenizer; expected the "
                "sentencepiece model that it was trained with (zh.sp.model, code.sp.model)"
            )
        if is_here and self.tokenizer_path:
            check_package("sentencepiece", "quality")

    def run(
        self, eval_type: Literal["text_quality"] | None, eval_obj: Path, *, scope: JobScope
    ) -> QualityScores:
        """Score the texts of a pool.

        Raises:
            ValueError: ``model_path`` is no classifier, or does not fit ``tokenizer_path``.
        """
        import numpy as np

        self.check()  # again: an earlier job may have made the classifier after the plan
        with TemporaryDirectory(dir=scope.output_dir) as folder:
            texts_path = Path(folder, "texts.jsonl")
            num_samples = write_texts(eval_obj, self.text_key, texts_path)
            scores = self._scores(texts_path, num_samples, scope)
        label = scores > 0.5
        pareto = scores > 1 - np.random.default_rng(self.seed).pareto(9, num_samples)
        q1, median, q3 = np.quantile(scores, (0.25, 0.5, 0.75)).tolist()
        columns = zip(scores.tolist(), label.tolist(), pareto.tolist(), strict=True)
        rows = ({STATS: dict(zip(_COLUMNS, row, strict=True))} for row in columns)
        return QualityScores(
            num_samples=num_samples,
            mean_score=float(scores.mean()),
            std_score=float(scores.std()),
            q1_score=q1,
            median_score=median,
            q3_score=q3,
            keep_ratio_label=float(label.mean()),
            keep_ratio_pareto=float(pareto.mean()),
            scores_path=write_rows(scope.output_dir / "scores.jsonl", rows),
        )

    def _scores(self, texts_path: Path, num_samples: int, scope: JobScope) -> Floats:
        import numpy as np

        scores_path = texts_path.with_name("scores.txt")
        request = {
            "texts_path": texts_path,
            "model_path": self.model_path,
            "tokenizer_path": self.tokenizer_path,
            "num_threads": self.num_threads,
            "memory_gb": self.memory_gb,
            "scores_path": scores_path,
        }
        # A machine's own name need not resolve to an address.
        variables = {"SPARK_LOCAL_IP": "127.0.0.1"}
        run_worker("quality_classifier", request, scope, self.env, variables=variables)
        scores = np.loadtxt(scores_path, dtype=np.float64, ndmin=1)
        if len(scores) != num_samples:
            raise RuntimeError(f"Spark gave {len(scores)} scores for {num_samples} samples")
        return scores

    def _has_tokenizer(self) -> bool:
        """Look into the saved pipeline, which must have a logistic regression, for a tokenizer."""
        foreign = sorted(name for name in _saved_names(self.model_path) if not _OF_SPARK(name))
        if foreign:
            # Spark imports whatever class a pipeline names.
            raise ValueError(
                f"model_path: {self.model_path} names {foreign[0]!r}, which is no part of Spark's"
                f" machine learning; {_EXPECTED}"
            )
        if _saved_class(self.model_path) != "PipelineModel":
            raise ValueError(f"model_path: {self.model_path} is no quality classifier; {_EXPECTED}")
        stages = [_saved_class(stage) for stage in sorted(self.model_path.glob("stages/*"))]
        if "LogisticRegressionModel" not in stages:
            found = ", ".join(stages) or "none"
            raise ValueError(f"model_path: {self.model_path} has the stages {found}; {_EXPECTED}")
        return any(stage.endswith("Tokenizer") for stage in stages)


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    # Spark prefers JAVA_HOME and does not fall back to the PATH.
    folder = str(Path(home, "bin")) if home else None
    if shutil.which("java", path=folder) is None:
        place = f"in JAVA_HOME, {folder}" if home else "on the PATH"
        raise ValueError(
            f"Java is missing (no program java {place}): Spark needs it; install it (Debian: "
            "apt-get install default-jre-headless), or score with evaluator=text_likelihood"
        )


def _saved_class(folder: Path) -> str:
    """Return the class, without package, that Spark saved in a folder; empty if there is none."""
    return min(_names(folder / "metadata"), default="").rsplit(".", 1)[-1]


def _saved_names(folder: Path) -> set[str]:
    """Return the classes of a pipeline and all of its stages; empty for a file of another form."""
    return {name for path in folder.rglob("metadata") for name in _names(path)}


def _names(metadata: Path) -> Iterator[str]:
    # Spark reads every file but those whose names begin with a dot or an underscore.
    for path in metadata.glob("[!._]*"):
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                yield str(json.loads(line)["class"])
        except (ValueError, KeyError, TypeError, OSError):
            yield ""
