"""One mistake in a config: its place, its kind, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "unknown_argument",
    "missing_argument",
    "wrong_type",
    "constraint",
    "rule",
    "missing_path",
    "secret",
    "variable",
    "component",
    "machine",
    "target",
    "permission",
    "interpolation",
    "reference",
    "job",
    "job_list",
    "map",
    "seeds",
    "setting",
    "scalar",
    "sweep",
    "store",
]
"""Kinds of mistakes.

Arguments: ``unknown_argument``, ``missing_argument``, ``wrong_type``, ``constraint`` (a value out
of range), ``rule`` (arguments that do not fit each other), ``missing_path``, ``secret`` (given as a
literal), ``variable`` (an environment variable that is not set). Components: ``target`` (a class
path that is not allowed or names nothing), ``component`` (of another family), ``machine`` (what it
needs is not here). ``permission``: only the person who starts the run can allow this. The rest
names the part of the experiment.
"""


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Args:
        where: Dotted place in the config, such as ``jobs.train.executor.learning_rate``.
        kind: Kind of the mistake.
        text: What was given and what was expected.
        hint: What is available, or how to mend it; empty without one.
    """

    where: str
    kind: Kind
    text: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.where}: {self.text}{hint}"


class PlanError(ValueError):
    """The experiment cannot run as written; the message lists every problem, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        # the argument as given, so that the exception survives pickling
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))
