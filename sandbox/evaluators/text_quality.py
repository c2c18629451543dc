"""Data-Juicer's quality classifier: how probably a text is of the kind that curated corpora hold."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sandbox.envs import CurrentEnv, Env
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.pool_reader import STATS, check_type, pool_path, write_texts
from sandbox.job import Outputs

_WORKER = Path(__file__).parents[1] / "workers" / "quality_classifier.py"
_ZOO = "gpt3_quality_model, chinese_quality_model or code_quality_model of Data-Juicer, unpacked"


class TextQuality(BaseEvaluator):
    """Score texts with a quality classifier of Data-Juicer's making.

    A classifier is a pyspark pipeline: words (split at white space, or a sentencepiece model's), hashed
    term frequencies, logistic regression, after GPT-3's (Brown et al. 2020, appendix A). A text's score
    is the probability that it is of the good kind, 0 to 1. There are two ways to keep by it, *label*
    where the score is above 0.5, and *pareto* where it is above 1 - x with x drawn from
    ``numpy.random.pareto(9)``, which keeps some of the lower scored too.

    Outputs:
        num_samples: Number of samples.
        mean_score: Mean score; Data-Juicer Sandbox's one number.
        std_score: Standard deviation of the scores.
        q1_score: Lower quartile.
        median_score: Median.
        q3_score: Upper quartile.
        keep_ratio_label: Share of samples that *label* keeps.
        keep_ratio_pareto: Share of samples that *pareto* keeps.
        scores_path: A statistics file as Data-Juicer writes it beside a data set, one line a sample in
            the pool's order:
            ``{"__dj__stats__": {"doc_score": 0.93, "keep_label": true, "keep_pareto": true}}``.

    Args:
        model_path: The folder of the classifier, a saved ``PipelineModel``: one of Data-Juicer's zoo, or
            one that its ``train.py`` has made. Nothing is downloaded.
        tokenizer_path: The sentencepiece model that the classifier was trained with (``zh.sp.model``,
            ``code.sp.model``); ``None`` where the pipeline has a tokenizer itself.
        text_key: Key of a sample's text.
        num_threads: Threads of Spark.
        memory_gb: Memory of Spark; what does not fit is spilled to disk.
        seed: Seed of the *pareto* draws; one draw a sample, in order.
        env: Where the program runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: A number is not positive; Java or pyspark is missing.

    Source: ``data_juicer/tools/quality_classifier`` of py-data-juicer 1.6.1. The same scores; unlike it no
    download, no 64 GB of memory asked for, *pareto* has a seed, and probabilities are taken by Spark
    itself, not by a Python function: 16 s in place of 35 on 50,000 texts, 10 of them Spark's start.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "num_samples",
        "mean_score",
        "std_score",
        "q1_score",
        "median_score",
        "q3_score",
        "keep_ratio_label",
        "keep_ratio_pareto",
        "scores_path",
    )

    def __init__(
        self,
        model_path: Path,
        tokenizer_path: Path | None = None,
        text_key: str = "text",
        num_threads: int = 2,
        memory_gb: int = 2,
        seed: int = 0,
        env: Env | None = None,
    ) -> None:
        if num_threads < 1 or memory_gb < 1:
            raise ValueError(
                f"num_threads: {num_threads} or memory_gb: {memory_gb} is not positive"
            )
        self.model_path = model_path
        self.tokenizer_path = tokenizer_path
        self.text_key = text_key
        self.num_threads = num_threads
        self.memory_gb = memory_gb
        self.seed = seed
        self.env = env or CurrentEnv()

    def check(self) -> None:
        """Raise ValueError where Java or pyspark is missing, or ``model_path`` is no classifier."""
        if isinstance(self.env, CurrentEnv):  # another brings its own
            _check_spark()
        self._check_model()

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the pool ``eval_obj``.

        Raises:
            ValueError: ``eval_type`` or ``eval_obj`` is something else, ``model_path`` is no classifier or
                does not go with ``tokenizer_path``, or a sample cannot be read.
            FileNotFoundError: The pool is missing.
            ProcessError: Spark failed.
        """
        check_type(eval_type, "text_quality")
        self.check()
        with tempfile.TemporaryDirectory(dir=output_dir) as folder:
            num_samples = write_texts(
                pool_path(eval_obj), self.text_key, Path(folder, "texts.jsonl")
            )
            scores = self._scores(Path(folder).absolute(), output_dir, num_samples)
        label = scores > 0.5
        pareto = scores > 1 - np.random.default_rng(self.seed).pareto(9, num_samples)
        scores_path = output_dir / "scores.jsonl"
        with scores_path.open("w", encoding="utf-8") as out:
            for score, *kept in zip(scores.tolist(), label.tolist(), pareto.tolist(), strict=True):
                stats = {"doc_score": score, "keep_label": kept[0], "keep_pareto": kept[1]}
                out.write(json.dumps({STATS: stats}) + "\n")
        q1, median, q3 = np.quantile(scores, (0.25, 0.5, 0.75)).tolist()
        return {
            "num_samples": num_samples,
            "mean_score": float(scores.mean()),
            "std_score": float(scores.std()),
            "q1_score": q1,
            "median_score": median,
            "q3_score": q3,
            "keep_ratio_label": float(label.mean()),
            "keep_ratio_pareto": float(pareto.mean()),
            "scores_path": scores_path,
        }

    def _scores(self, folder: Path, output_dir: Path, num_samples: int) -> NDArray[np.float64]:
        request = {
            "texts_path": str(folder / "texts.jsonl"),
            "model_path": str(self.model_path.absolute()),
            "tokenizer_path": str(self.tokenizer_path.absolute()) if self.tokenizer_path else None,
            "num_threads": self.num_threads,
            "memory_gb": self.memory_gb,
            "work_dir": str(folder),
            "result_path": str(folder / "scores.txt"),
        }
        request_path = folder / "request.json"
        request_path.write_text(json.dumps(request), encoding="utf-8")
        self.env.run_cmd(
            ["python", _WORKER, request_path],
            log_path=output_dir / "spark.log",
            variables={"SPARK_LOCAL_IP": "127.0.0.1"},
            echo=False,
        )
        scores = np.loadtxt(folder / "scores.txt", dtype=np.float64, ndmin=1)
        if len(scores) != num_samples:
            raise RuntimeError(f"Spark gave {len(scores)} scores for {num_samples} samples")
        return scores

    def _check_model(self) -> None:
        expected = f"expected the folder of a saved pyspark PipelineModel ({_ZOO})"
        if _saved_class(self.model_path) != "PipelineModel":
            raise ValueError(f"model_path: {self.model_path} is no quality classifier; {expected}")
        stages = [_saved_class(stage) for stage in sorted(self.model_path.glob("stages/*"))]
        has_tokenizer = any(stage.endswith("Tokenizer") for stage in stages)
        if not stages or "LogisticRegressionModel" not in stages:
            there = ", ".join(stages) or "none"
            raise ValueError(f"model_path: {self.model_path} has the stages {there}; {expected}")
        if has_tokenizer and self.tokenizer_path:
            raise ValueError(
                f"tokenizer_path: given {self.tokenizer_path}, but {self.model_path} has a tokenizer itself"
            )
        if not has_tokenizer and not self.tokenizer_path:
            raise ValueError(
                f"tokenizer_path: {self.model_path} has no tokenizer itself; expected the sentencepiece "
                "model that it was trained with (zh.sp.model, code.sp.model)"
            )
        is_here = isinstance(self.env, CurrentEnv)
        if is_here and self.tokenizer_path and find_spec("sentencepiece") is None:
            raise ValueError("sentencepiece is not installed; pip install 'sandbox[quality]'")


def _check_spark() -> None:
    if find_spec("pyspark") is None:
        raise ValueError("pyspark is not installed; pip install 'sandbox[quality]'")
    home = os.environ.get("JAVA_HOME")
    if (
        shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")
    ) is None:
        where = f"in JAVA_HOME, {home}/bin" if home else "on the PATH"
        raise ValueError(
            f"Java is not there (no program java {where}): Spark needs it; install it (Debian: "
            "apt-get install default-jre-headless), or score with evaluator=text_likelihood"
        )


def _saved_class(folder: Path) -> str:
    """The class, without its package, of what Spark saved in a folder; empty where it saved nothing."""
    for part in sorted(folder.glob("metadata/part-*")):
        try:
            return str(json.loads(part.read_text(encoding="utf-8"))["class"]).rsplit(".", 1)[-1]
        except (ValueError, KeyError, TypeError):
            return ""
    return ""
