"""Comparison of a found data pool with a baseline pool by the scores of models trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from sandbox.evaluators import BaseEvaluator
from sandbox.job import JobScope, rule, score
from sandbox.samples import base_name

if TYPE_CHECKING:
    import numpy as np

    from sandbox.evaluators.statistic_columns import Floats

# Bootstrap samples at a time: a row of weights has one number per picture.
_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class ComparisonScores:
    """Difference between two pools, in the unit of the metric.

    Args:
        difference: Score of the candidate minus score of the baseline.
        lower: Lower end of the 95 % interval of the difference.
        upper: Upper end of the interval.
        candidate_score: Mean over the models of the candidate of their mean over pictures.
        baseline_score: The same for the baseline.
        better: 1 if the whole interval is above 0, else 0.
        report_path: Summary and scores of every model, Markdown.
        summary: The result in one sentence.
    """

    difference: float = score()
    lower: float = score()
    upper: float = score()
    candidate_score: float = score()
    baseline_score: float = score()
    better: int = score()
    report_path: Path
    summary: str


@dataclass(frozen=True, kw_only=True)
class PoolComparison(BaseEvaluator):
    """Compare models trained on one pool with models trained on the baseline pool.

    The score of a pool is the mean over its models (one per seed) of the mean over pictures. The
    interval is a percentile bootstrap. Pictures are drawn with replacement, the same for all
    models; models of each pool are drawn n - 1 of n, which keeps the spread of a mean of few models
    unbiased. With one model the interval covers the pictures alone, and is too narrow.

    In simulations (500 pictures, 1,000 comparisons each), models of a pool differed in single
    pictures (standard deviation 0.8) and by up to 0.09 in all of them. A 95 % interval then held
    the true difference in 94 to 100 % of the comparisons with 3 or 5 models a pool, and in 90 to
    100 % with 2. Had the models differed by the latter alone: in 67, 86 and 91 % with 2, 3 and 5.

    Args:
        pools: The pool that each model was trained on, by name or path (whose file name without
            extension counts): one candidate and the baseline.
        baseline: The pool to beat.
        metric: A metric of the score files; higher is better.
        candidate_title: Name of the candidate in the summary.
        baseline_title: Name of the baseline in the summary.
        num_resamples: Bootstrap samples.
        seed: Seed of the bootstrap.
    """

    pools: Sequence[str]
    baseline: str
    metric: str = "CIDEr"
    candidate_title: str = "best found pool"
    baseline_title: str = "random pool of equal size"
    num_resamples: Annotated[int, Ge(100)] = 2000
    seed: int = 0

    @rule
    def _one_candidate(pools: Sequence[str], baseline: str) -> None:
        _candidate_and_baseline(pools, baseline)

    def run(
        self, eval_type: None, eval_obj: Sequence[Path | Sequence[Path]], *, scope: JobScope
    ) -> ComparisonScores:
        """Compare by score files: for each of ``pools`` one path, or a list of them.

        A score file is JSON, ``{metric: {image id: score}}``, as caption evaluators write it.

        Raises:
            ValueError: The score files are not as many as the pools, have not the metric, or do
                not cover the same pictures.
        """
        names = _candidate_and_baseline(self.pools, self.baseline)
        scores = self._read_scores(eval_obj)
        candidate, baseline = (scores[name] for name in names)
        lower, upper = self._interval(candidate, baseline)
        candidate_score, baseline_score = float(candidate.mean()), float(baseline.mean())
        summary = (
            f"The {self.candidate_title} ({names[0]}) {_verdict(lower, upper)} the "
            f"{self.baseline_title} ({names[1]}): {self.metric} {candidate_score:.3g} against "
            f"{baseline_score:.3g}, {candidate_score - baseline_score:+.3f}, 95 % interval "
            f"[{lower:+.3f}, {upper:+.3f}], {_seeds(len(candidate), len(baseline))}, "
            f"{candidate.shape[1]} pictures."
        )
        report_path = scope.output_dir / "comparison.md"
        report = self._report(summary, {name: scores[name] for name in names})
        report_path.write_text(report, encoding="utf-8")
        return ComparisonScores(
            difference=candidate_score - baseline_score,
            lower=lower,
            upper=upper,
            candidate_score=candidate_score,
            baseline_score=baseline_score,
            better=int(lower > 0),
            report_path=report_path,
            summary=summary,
        )

    def _read_scores(self, eval_obj: Sequence[Path | Sequence[Path]]) -> dict[str, Floats]:
        """Read the scores by pool, one row per model and one column per picture."""
        import numpy as np

        if len(eval_obj) != len(self.pools):
            raise ValueError(
                f"expected one score file, or a list of them, for each of {len(self.pools)} pools; "
                f"got {len(eval_obj)}"
            )
        rows: dict[str, list[list[float]]] = {}
        image_ids: list[str] = []
        for pool, given in zip(self.pools, eval_obj, strict=True):
            for path in [given] if isinstance(given, Path) else given:
                content = json.loads(path.read_bytes())
                scores = content.get(self.metric)
                if not scores:
                    raise ValueError(
                        f"{path} has no scores for {self.metric}; available: {', '.join(content)}"
                    )
                image_ids = image_ids or list(scores)
                differing = sorted(scores.keys() ^ set(image_ids))
                if differing:
                    raise ValueError(
                        f"{path}: {len(differing)} pictures are not in both it and the first file, "
                        f"such as {differing[0]}"
                    )
                row = [scores[image_id] for image_id in image_ids]
                rows.setdefault(base_name(Path(pool)), []).append(row)
        return {pool: np.array(scores, dtype=np.float64) for pool, scores in rows.items()}

    def _interval(self, candidate: Floats, baseline: Floats) -> tuple[float, float]:
        import numpy as np

        # Not scipy.stats.bootstrap: it resamples one axis of each sample, n of n, while pictures
        # are shared by both pools here, and models are drawn n - 1 of n.
        rng = np.random.default_rng(self.seed)
        num_pictures = candidate.shape[1]
        shares = np.full(num_pictures, 1 / num_pictures)
        differences = []
        for start in range(0, self.num_resamples, _BATCH):
            size = min(_BATCH, self.num_resamples - start)
            weights = rng.multinomial(num_pictures, shares, size) / num_pictures
            means = _resampled(candidate, weights, rng)
            differences.append(means - _resampled(baseline, weights, rng))
        lower, upper = np.quantile(np.concatenate(differences), (0.025, 0.975)).tolist()
        return lower, upper

    def _report(self, summary: str, scores: Mapping[str, Floats]) -> str:
        lines = ["# Comparison of data pools", "", summary, ""]
        lines += [f"| pool | mean {self.metric} | of each model |", "|---|---|---|"]
        for pool, models in scores.items():
            single = ", ".join(f"{mean:.3f}" for mean in models.mean(axis=1))
            lines.append(f"| {pool} | {models.mean():.3f} | {single} |")
        method = f"bootstrap of {self.num_resamples} samples over pictures and seeds"
        lines += ["", f"Interval: {method}."]
        if min(map(len, scores.values())) == 1:
            lines.append(
                "A pool has one model only: the interval does not include how much models differ "
                "by chance."
            )
        return "\n".join(lines) + "\n"


def _candidate_and_baseline(pools: Sequence[str], baseline: str) -> tuple[str, str]:
    """Return the names of the two pools; raise ValueError unless there are just these two."""
    names = {base_name(Path(pool)): None for pool in pools}
    baseline_name = base_name(Path(baseline))
    candidates = [name for name in names if name != baseline_name]
    if baseline_name not in names or len(candidates) != 1:
        found = ", ".join(names) or "none"
        raise ValueError(
            f"expected the baseline {baseline_name} and one other pool; pools are: {found}"
        )
    return candidates[0], baseline_name


def _verdict(lower: float, upper: float) -> str:
    if lower > 0:
        return "beats"
    if upper < 0:
        return "is worse than"
    return "does not clearly differ from"


def _seeds(num_candidate: int, num_baseline: int) -> str:
    text = "1 seed" if num_candidate == 1 else f"{num_candidate} seeds"
    return text if num_candidate == num_baseline else f"{text} against {num_baseline}"


def _resampled(scores: Floats, weights: Floats, rng: np.random.Generator) -> Floats:
    """Return the mean score in each bootstrap sample, given by its weights of pictures.

    ``scores`` has one row per model, ``weights`` one per sample; both have a column per picture.
    """
    import numpy as np

    means = weights @ scores.T
    num_models = len(scores)
    drawn = rng.integers(0, num_models, (len(weights), max(1, num_models - 1)))
    resampled: Floats = np.take_along_axis(means, drawn, axis=1).mean(axis=1)
    return resampled
