"""Report of a decision: one sentence, tables and the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.system.wording import counted

Verdict = Literal["better", "worse", "no decision", "means nothing"]

MOST_NAMED = 2
"""Candidates beside the best one that the summary names."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of one candidate with the baseline.

    Args:
        name: Name of the candidate.
        mean: Mean score of its models.
        std: Standard deviation of its models' scores over seeds; ``None`` with one seed.
        difference: Improvement over the baseline, above 0 if the candidate is better.
        lower: Lower end of its interval; ``None`` without one.
        upper: Upper end of its interval.
        signal_to_noise: Size of the difference over the larger deviation of candidate and baseline.
        verdict: Side of 0 that the interval is on.
        reason: Why nothing is decided, or what would be needed to decide; empty if it is decided.
    """

    name: str
    mean: float
    std: float | None
    difference: float
    lower: float | None
    upper: float | None
    signal_to_noise: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that is reported of a decision.

    Args:
        metric: Name of the scores.
        candidate_title: What the best candidate is called.
        baseline_title: What the baseline is called.
        comparisons: One for each candidate, best first.
        models: Score of every model by candidate and seed; the baseline last.
        baseline_mean: Mean score of the baseline's models.
        baseline_std: Their standard deviation over seeds.
        num_items: Number of items of a model's score; ``None`` where only the score is known.
        method: How the intervals are made.
    """

    metric: str
    candidate_title: str
    baseline_title: str
    comparisons: Sequence[Comparison]
    models: Mapping[str, Mapping[int, float]]
    baseline_mean: float
    baseline_std: float | None
    num_items: int | None
    method: str

    @property
    def summary(self) -> str:
        """The decision on the best candidate in one sentence, and those on the others.

        A few others are named, more are counted.
        """
        best = self.comparisons[0]
        *_, baseline = self.models
        candidate = f"the {self.candidate_title} ({best.name})"
        other = f"the {self.baseline_title} ({baseline})"
        decisions = {
            "better": f"{candidate} is better than {other}",
            "worse": f"{candidate} is worse than {other}",
            "no decision": f"no decision between {candidate} and {other}",
            "means nothing": f"this comparison of {candidate} with {other} means nothing",
        }
        decision = decisions[best.verdict]
        parts = [decision[0].upper() + decision[1:] + f": {self._figures(best)}"]
        if best.reason:
            parts.append(best.reason)
        others = self.comparisons[1:]
        if len(others) <= MOST_NAMED:
            parts += [
                f"{each.name}: {each.verdict}, {each.difference:+.3g} {_interval(each)}".rstrip()
                for each in others
            ]
        else:
            counts = Counter(each.verdict for each in self.comparisons)
            parts.append(
                f"of {len(self.comparisons)} candidates {counts['better']} better, "
                f"{counts['worse']} worse, the others undecided"
            )
        return "; ".join(parts) + "."

    def markdown(self) -> str:
        """Return the report: the sentence, a row per candidate, the score of each model."""
        header = [
            "candidate",
            f"mean {self.metric}",
            "deviation over seeds",
            "improvement",
            "95 % interval",
            "signal-to-noise",
            "decision",
        ]
        rows = [_row(each) for each in self.comparisons]
        *_, baseline = self.models
        means = (_number(self.baseline_mean), _number(self.baseline_std))
        rows.append((f"{baseline} (baseline)", *means, "", "", "", ""))
        seeds = [f"seed {seed}" for seed in self.models[baseline]]
        single = [(name, *map(_number, of.values())) for name, of in self.models.items()]
        lines = ["# Decision", "", self.summary, ""]
        lines += _table(header, rows)
        lines += ["", self.method, ""]
        lines += _table((f"{self.metric} of each model", *seeds), single)
        return "\n".join(lines) + "\n"

    def _figures(self, best: Comparison) -> str:
        figures = [
            f"{self.metric} {best.mean:.3g} against {self.baseline_mean:.3g}",
            f"improvement {best.difference:+.3g}",
        ]
        *_, of_baseline = self.models.values()
        if best.lower is not None:
            limit = "over items alone " if len(of_baseline) == 1 else ""
            figures.append(f"95 % interval {limit}{_interval(best)}")
        figures.append(counted(len(of_baseline), "seed"))
        if self.num_items is not None:
            figures.append(counted(self.num_items, "item"))
        if best.signal_to_noise is not None:
            figures.append(f"signal-to-noise ratio {best.signal_to_noise:.2g}")
        return ", ".join(figures)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _interval(comparison: Comparison) -> str:
    if comparison.lower is None or comparison.upper is None:
        return ""
    return f"[{comparison.lower:+.3g}, {comparison.upper:+.3g}]"


def _row(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.name,
        _number(comparison.mean),
        _number(comparison.std),
        f"{comparison.difference:+.3g}",
        _interval(comparison) or "–",
        _number(comparison.signal_to_noise),
        ": ".join(filter(None, (comparison.verdict, comparison.reason))),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
