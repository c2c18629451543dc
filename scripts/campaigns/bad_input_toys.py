"""Components that do almost nothing, for inputs that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseDataExecutor
from sandbox.job import Fraction01, JobScope, NonEmptyText, PositiveInt, Secret, score


@dataclass(frozen=True, kw_only=True)
class Handed:
    """A value, and the numbers in it."""

    value: Any
    numbers: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Hand(BaseDataExecutor):
    """Hand a value on; its other arguments have every kind of annotation."""

    value: Any = 0
    count: PositiveInt = 1
    share: Fraction01 = 0.5
    name: NonEmptyText = "x"
    path: Path | None = None
    paths: Sequence[Path] = ()
    options: Mapping[str, int] | None = None
    flag: bool = False
    token: Secret | None = None
    seed: int = 0

    def run(self, *, scope: JobScope) -> Handed:
        return Handed(value=self.value, numbers=[float(self.count), self.share])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A score."""

    quality: float = score()


@dataclass(frozen=True, kw_only=True)
class Judge(BaseEvaluator):
    """Score anything."""

    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> Judged:
        return Judged(quality=0.5)


@dataclass(frozen=True, kw_only=True)
class Fail(BaseDataExecutor):
    """Fail with a message."""

    message: str = "no"

    def run(self, *, scope: JobScope) -> None:
        raise RuntimeError(self.message)
