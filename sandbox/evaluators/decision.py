"""Decision between candidates and a baseline by the scores of models trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.decision_report import Comparison, Report, Verdict
from sandbox.evaluators.paired_scores import paired_models, read_rows
from sandbox.job import JobScope, rule, score
from sandbox.system.wording import counted

if TYPE_CHECKING:
    from sandbox.evaluators.paired_intervals import Differences, Floats

Scores = Sequence[Path] | Sequence[float] | Sequence[Sequence[float]]

MIN_ITEMS = 30
"""Items from which on the coverage of the intervals was simulated."""


@dataclass(frozen=True, kw_only=True)
class DecisionScores:
    """Comparison of the best candidate with the baseline, and of all candidates.

    Differences are improvements in the unit of the metric: above 0 the candidate is better, also
    where lower scores are better. ``lower``, ``upper`` and ``signal_to_noise`` are ``None`` where
    the run is too small to know them.

    Args:
        best: Name of the candidate with the best mean score.
        difference: Its improvement over the baseline.
        lower: Lower end of the 95 % interval of the improvement.
        upper: Upper end of the interval.
        candidate_score: Mean score of the candidate over its models.
        baseline_score: The same of the baseline.
        better: 1 if it is decided that the candidate is better, else 0.
        signal_to_noise: Size of the difference of the two mean scores over the larger of the two
            standard deviations of a model's mean score over seeds. Heineman et al. (2025) take the
            spread of all models' scores over the deviation between checkpoints.
        candidates: By candidate, best first, the fields of :class:`Comparison`.
        report_path: Summary, scores of every model and the method, Markdown.
        numbers_path: JSON, all numbers of the report.
        summary: The decision in one sentence.
    """

    best: str
    difference: float = score()
    lower: float | None = score()
    upper: float | None = score()
    candidate_score: float = score()
    baseline_score: float = score()
    better: int = score()
    signal_to_noise: float | None = score()
    candidates: Mapping[str, Mapping[str, float | str | None]]
    report_path: Path
    numbers_path: Path
    summary: str


@dataclass(frozen=True, kw_only=True)
class Decision(BaseEvaluator):
    """Decide which candidates are better or worse than a baseline, by models trained on each.

    Models of a candidate and of the baseline with the same seed are a pair. The interval of their
    mean difference covers other seeds and other items (crossed random effects, estimated by mean
    squares), with noise of its own for each candidate. Those of several candidates hold together
    in 95 % of all runs, by Dunnett's method. A candidate is better or worse if its interval is on
    one side of 0; otherwise there is no decision, and the summary gives the number of further seeds
    that would be needed if difference and noise stayed the same. With one seed the interval covers
    items alone, and nothing is decided; with fewer than 30 items, or without any spread, there is
    no interval.

    ``scripts/bench/decision_coverage.py`` measures coverage and wrong decisions. With 3, 5 and 10
    seeds, 30 to 500 items, noise that is mostly of seeds, of items or of both, in the candidates
    or in the baseline: 94.7 to 96.7 % for one candidate, 93.2 to 97.2 % for five at once.

    Args:
        candidates: Name or path of the candidate that each model belongs to, the baseline among
            them; a path's file name without extension counts.
        seeds: Seed of each model.
        baseline: The candidate to beat.
        metric: A metric of the score files, or the name of the scores.
        higher_is_better: False for a metric of which less is better, such as perplexity.
        candidate_title: What the best candidate is called in the summary.
        baseline_title: What the baseline is called in the summary.

    Source: Dunnett 1955 for the common error rate; Hasler and Hothorn 2008 for many-to-one
    comparisons with unequal variances; Searle, Casella and McCulloch 1992 for the mean squares.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("scipy",)}

    candidates: Sequence[str]
    seeds: Sequence[int]
    baseline: str
    metric: str
    higher_is_better: bool = True
    candidate_title: str = "best candidate"
    baseline_title: str = "baseline"

    @rule
    def _models_are_paired(candidates: Sequence[str], seeds: Sequence[int], baseline: str) -> None:
        paired_models(candidates, seeds, baseline)

    def run(self, eval_type: None, eval_obj: Scores, *, scope: JobScope) -> DecisionScores:
        """Decide by the scores of the models, in the order of ``candidates``.

        Args:
            eval_type: There is one way.
            eval_obj: One file per model, ``{metric: {item id: score}}`` as caption evaluators write
                it, or one number per model, or a list of the numbers of each candidate's models.
            scope: Output folder and log of the job.

        Raises:
            ValueError: Models and scores are not equally many, or a file has not the metric, fewer
                than two items or other items than the first file.
        """
        scores, num_items = self._scores(eval_obj)
        *_, baseline = scores.values()
        comparisons, method = self._compare(scores)
        models = self._models()
        *_, seeds = models.values()
        report = Report(
            metric=self.metric,
            candidate_title=self.candidate_title,
            baseline_title=self.baseline_title,
            comparisons=comparisons,
            models={
                name: dict(zip(seeds, by_item.mean(axis=1).tolist(), strict=True))
                for name, by_item in scores.items()
            },
            baseline_mean=float(baseline.mean()),
            baseline_std=_std(baseline),
            num_items=num_items,
            method=method,
        )
        return _results(report, scope.output_dir)

    def _models(self) -> dict[str, dict[int, int]]:
        return paired_models(self.candidates, self.seeds, self.baseline)

    def _scores(self, eval_obj: Scores) -> tuple[dict[str, Floats], int | None]:
        """Return the scores by name, a row per seed and a column per item, and the items."""
        import numpy as np

        of_models = _of_models(eval_obj)
        if len(of_models) != len(self.candidates):
            raise ValueError(
                f"expected one score or score file for each of {len(self.candidates)} models; "
                f"got {len(of_models)}"
            )
        rows = read_rows(of_models, self.metric)
        scores = {
            name: np.array([rows[index] for index in by_seed.values()], dtype=np.float64)
            for name, by_seed in self._models().items()
        }
        return scores, len(rows[0]) if isinstance(of_models[0], Path) else None

    def _compare(self, scores: Mapping[str, Floats]) -> tuple[list[Comparison], str]:
        """Return the comparisons, best first, and the method of their intervals."""
        import numpy as np

        from sandbox.evaluators.paired_intervals import estimate, half_widths

        *names, _ = scores
        *candidates, baseline = scores.values()
        sign = 1 if self.higher_is_better else -1
        estimated = estimate(sign * (np.stack(candidates) - baseline))
        widths = half_widths(estimated)
        # Rounding leaves a spread of equal differences that is no spread.
        rounding = 1e-9 * float(max(abs(values).max() for values in scores.values()))
        comparisons = []
        for index, (name, values) in enumerate(zip(names, candidates, strict=True)):
            difference, half = float(estimated.mean[index]), float(widths[index])
            nothing = _nothing(estimated, half <= rounding)
            verdict, reason = _verdict(estimated, index, half, nothing)
            comparisons.append(
                Comparison(
                    name=name,
                    mean=float(values.mean()),
                    std=_std(values),
                    difference=difference,
                    lower=None if nothing else difference - half,
                    upper=None if nothing else difference + half,
                    signal_to_noise=None if nothing else _signal_to_noise(values, baseline),
                    verdict=verdict,
                    reason=reason,
                )
            )
        comparisons.sort(key=lambda each: each.difference, reverse=True)
        return comparisons, _method(estimated)


def _of_models(scores: Scores) -> list[Any]:
    """Return one score or file per model; those of each candidate follow one another."""
    models: list[Any] = []
    for score_or_list in scores:
        models += score_or_list if isinstance(score_or_list, Sequence) else [score_or_list]
    return models


def _nothing(estimated: Differences, is_without_spread: bool) -> str:
    """Return why there is no interval; empty where there is one."""
    num_seeds, num_items = estimated.num_seeds, estimated.num_items
    if num_seeds == num_items == 1:
        return "one seed is too few, at least 2 are needed"
    if 1 < num_items < MIN_ITEMS:
        return f"{num_items} items are too few, at least {MIN_ITEMS} are needed"
    if is_without_spread:
        return "the differences are all equal, so that nothing is known of their noise"
    return ""


def _verdict(
    estimated: Differences, candidate: int, half: float, nothing: str
) -> tuple[Verdict, str]:
    """Return the decision on a candidate, and the reason if nothing is decided."""
    if nothing:
        return "means nothing", nothing
    if estimated.num_seeds == 1:
        return "no decision", "one seed says nothing about another training"
    difference = float(estimated.mean[candidate])
    if abs(difference) > half:
        return ("better" if difference > 0 else "worse"), ""
    return "no decision", _needed(estimated, candidate)


def _needed(estimated: Differences, candidate: int) -> str:
    from sandbox.evaluators.paired_intervals import MAX_MORE_SEEDS, items_needed, seeds_needed

    seeds = seeds_needed(estimated, candidate)
    if seeds is not None:
        return f"about {counted(seeds, 'more seed')} would be needed"
    items = items_needed(estimated, candidate)
    if items is not None:
        return f"seeds alone would not suffice, about {items} more items would be needed"
    return f"more than {MAX_MORE_SEEDS} more seeds would be needed"


def _signal_to_noise(candidate: Floats, baseline: Floats) -> float | None:
    noises = [_std(candidate), _std(baseline)]
    noise = max(value or 0 for value in noises)
    return float(abs(candidate.mean() - baseline.mean())) / noise if noise else None


def _std(scores: Floats) -> float | None:
    """Return the standard deviation of the models' mean scores; ``None`` for one model."""
    return float(scores.mean(axis=1).std(ddof=1)) if len(scores) > 1 else None


def _method(estimated: Differences) -> str:
    from sandbox.evaluators.paired_intervals import individual_errors

    units = []
    if estimated.num_seeds > 1:
        units.append("seeds")
    if estimated.num_items > 1:
        units.append("items")
    lines = [
        f"Models with the same seed are a pair. The intervals of their mean difference cover other "
        f"{' and '.join(units) or 'scores'} (t intervals with variance components, the noise of "
        "every candidate its own)."
    ]
    num = len(estimated.mean)
    if num > 1:
        level = 100 * (1 - float(individual_errors(estimated)))
        lines.append(
            f"All {num} hold together at 95 % by Dunnett's method: each alone at {level:.1f} %, as "
            f"the correlation of the differences is {float(estimated.correlation):.2f} on average."
        )
    lines.append(
        "Signal-to-noise: the size of the difference over the larger deviation over seeds of the "
        "two."
    )
    return " ".join(lines)


def _results(report: Report, folder: Path) -> DecisionScores:
    """Write the report and return the results."""
    best = report.comparisons[0]
    candidates = {each.name: asdict(each) for each in report.comparisons}
    report_path, numbers_path = folder / "decision.md", folder / "decision.json"
    report_path.write_text(report.markdown(), encoding="utf-8")
    numbers = {**asdict(report), "summary": report.summary}
    numbers_path.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    return DecisionScores(
        best=best.name,
        difference=best.difference,
        lower=best.lower,
        upper=best.upper,
        candidate_score=best.mean,
        baseline_score=report.baseline_mean,
        better=int(best.verdict == "better"),
        signal_to_noise=best.signal_to_noise,
        candidates=candidates,
        report_path=report_path,
        numbers_path=numbers_path,
        summary=report.summary,
    )
