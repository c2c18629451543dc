"""Plain data that components and jobs exchange: arguments, scope, results. The lowest layer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, ParamSpec, Protocol, TypeVar

from annotated_types import Ge, Gt, Interval, MinLen

P = ParamSpec("P")
R = TypeVar("R")

Outputs = Mapping[str, Any]
"""Recorded results of one job by name: JSON values, and ``Path`` for files and folders."""

Label = str | int
"""Name of a coordinate of an axis: a short text, or the number of a seed."""

OutputKind = Literal["number", "numbers", "other"]
"""Declared kind of an output: a number, a mapping of numbers, or anything else."""

# Constraints on one argument of a component. They are checked in the plan, before anything runs,
# and again when a value that an earlier job makes is there: see ``sandbox.components.checks``.
PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction01 = Annotated[float, Interval(ge=0, le=1)]
"""A number from 0 to 1, both included."""

Workers = Annotated[int, Interval(ge=1, le=1024)]
"""A number of processes at a time: more would only exhaust the machine."""

NonEmptyText = Annotated[str, MinLen(1)]

Secret = NewType("Secret", str)
"""Annotation of an argument that may only be given as ``${oc.env:NAME}``."""


_URL_LOGIN = re.compile(r"https?://[^/\s@]*@|://[^/\s@:]*:[^/\s@]+@")


@dataclass(frozen=True)
class NoUrlPassword:
    """Constraint on a text: a URL in it holds no login, neither ``name:password@`` nor ``token@``.

    A text that breaks it is a secret given as a literal, so the plan reports it as such. Annotate
    arguments whose text is recorded or logged: ``Sequence[PublicText]``.
    """

    def is_met_by(self, text: str) -> bool:
        """Return True if no URL in ``text`` holds a login."""
        return _URL_LOGIN.search(text) is None


PublicText = Annotated[str, NoUrlPassword()]
"""Text that may hold a URL and is recorded, so that no password may stand in it."""


def rule(function: Callable[P, R]) -> staticmethod[P, R]:
    """Declare what several arguments of a component must fulfil together.

    The names of the function's parameters are the names of the arguments that it reads. The plan
    calls it as soon as all of these are known, and it raises ``ValueError`` where they do not fit::

        @rule
        def _sides_are_ordered(low: float, high: float) -> None:
            if low > high:
                raise ValueError(f"low is {low}, above high, which is {high}")
    """
    function.is_rule = True  # type: ignore[attr-defined]
    return staticmethod(function)


def parallel(*names: str) -> staticmethod[..., None]:
    """Declare that the lists of these arguments have one length; an argument may be ``None``.

    It is a rule, and the plan compares lengths before it knows the items::

        _one_score_per_pool = parallel("dataset_paths", "scores")
    """

    def check(**given: Sequence[Any] | None) -> None:
        lengths = {name: len(value) for name, value in given.items() if value is not None}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(f"expected lists of one length, got: {found}")

    parameters = [Parameter(name, Parameter.KEYWORD_ONLY) for name in names]
    check.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    check.parallel = names  # type: ignore[attr-defined]
    return rule(check)


def score(*, lower_is_better: bool = False) -> Any:
    """Declare a field of a component's results as a score, and which direction is better."""
    return field(metadata={"lower_is_better": lower_is_better})


class JobFailed(RuntimeError):
    """A job failed; what finished is recorded, and the same command goes on from there."""


class Watch(Protocol):
    """Recorder of a running job's metrics."""

    def __call__(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record ``metrics``, nested or flat, numbers only, at training step ``step``."""


RESUME_NAME = "resume"
"""Name of the folder inside a job's output folder that holds its state to resume from."""


@dataclass(frozen=True)
class JobScope:
    """Everything that a hook may touch while its job runs.

    Args:
        name: Name of the job.
        output_dir: Folder of this job alone; exists.
        log_path: Log file of this attempt; programs that the job starts write there.
        watch: Sends metrics to the run's watcher.
        cache_dir: Folder that all jobs of the store share, for results that are expensive but
            reproducible; may not exist yet. ``None``: there is none.
        earlier_log_paths: Logs of the interrupted attempts that this one continues, oldest first;
            metrics in them that are recorded already may be sent to ``watch`` again.
    """

    name: str
    output_dir: Path
    log_path: Path
    watch: Watch
    cache_dir: Path | None = None
    earlier_log_paths: Sequence[Path] = ()

    @property
    def resume_dir(self) -> Path:
        """Folder for what only an interrupted attempt's successor needs; may not exist yet.

        It is kept between the attempts of a resumable component, and removed with the last one's
        success, after the record was written.
        """
        return self.output_dir / RESUME_NAME


@dataclass(frozen=True)
class Axis:
    """One way in which the elements of a job differ: see ``sandbox.planning.axes``.

    Args:
        name: Dotted place of the leaf of ``map``, or ``seed``.
        size: Number of its coordinates, or the reference to the list whose length only a run knows.
        is_seed: True if elements that differ on this axis alone repeat each other.
    """

    name: str
    size: int | str
    is_seed: bool = False


@dataclass(frozen=True)
class JobSpec:
    """One entry of a job list, checked but not built.

    Args:
        name: Name of the job.
        pipeline: Name of its pipeline.
        job_list: Name of its job list.
        config: The hook's node; references to outputs are parsed.
        map: The job's ``map``: by dotted place a list, or a reference to one.
        product: True if the elements are the product of the lists, not their zip.
        seeds: Seeds that every element is repeated with; empty without ``seeds``.
        seed_argument: Dotted place of the argument that takes the seed.
        compute: Node of the compute that this job runs on; ``None`` is the run's.
        outputs: Names of its outputs.
        output_kinds: Kinds of the outputs whose annotation has only one.
        lower_is_better: Names of the scores of which the smallest is the best.
        axes: How its elements differ, outermost first: the last axis varies fastest.
    """

    name: str
    pipeline: str
    job_list: str
    config: Mapping[str, Any]
    map: Mapping[str, Any] = field(default_factory=dict)
    product: bool = False
    seeds: tuple[int, ...] = ()
    seed_argument: str = ""
    compute: Mapping[str, Any] | None = None
    outputs: tuple[str, ...] = ()
    output_kinds: Mapping[str, OutputKind] = field(default_factory=dict)
    lower_is_better: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()


def axes_text(axes: Mapping[str, Label]) -> str:
    """Return the label of an element from its labels by axis: ``web_low, seed 2``."""
    return ", ".join(
        f"{name} {label}" if isinstance(label, int) else label for name, label in axes.items()
    )


def is_real(value: Any) -> bool:
    """Return True for a number that a float can hold, also NaN and infinity; a bool is one."""
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float)


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """Return the numbers inside nested results by dotted name; anything else is left out.

    A bool counts as 0 or 1; a list's items are named by their index.
    """
    if isinstance(value, Mapping):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(index), child) for index, child in enumerate(value)]
    else:
        number = value.item() if hasattr(value, "item") else value
        return {name: number + 0} if is_real(number) else {}
    found: dict[str, float] = {}
    for key, child in items:
        found |= numbers(child, f"{name}.{key}" if name else key)
    return found
