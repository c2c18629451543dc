"""Compute: where the element jobs of a job run. This module holds the bases of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")

Begun = Callable[[int], None]


def ignore(index: int) -> None:
    """Do nothing when an item begins."""


class ComputeSession(ABC):
    """An open compute: a context manager that holds processes, queued jobs or signal handlers."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def map(
        self, function: Callable[[T], None], items: Sequence[T], begun: Begun = ignore
    ) -> Iterator[tuple[int, Exception | None]]:
        """Run ``function`` on every item; yield, as each ends, its index and its error or ``None``.

        ``begun`` is called with the index of an item when it begins, in any thread. A short item
        of a cluster may end before that is known; it is then never called.

        An item that fails does not stop the others. Items may leave programs open for the next one
        (``sandbox.system.kept``); they are closed after the last. An interrupted run may leave the
        iterator unfinished; leaving the session then ends what still runs.
        """

    def __exit__(self, *exc: object) -> None:  # noqa: B027  most have nothing to release
        """Release what is held; what still runs is interrupted."""

    @abstractmethod
    def __str__(self) -> str:
        """Return a short description for the log, such as ``local, 4 at a time``."""


@dataclass(frozen=True, kw_only=True)
class BaseCompute(ABC):
    """Run a function on each of several items.

    A compute only holds its arguments; :meth:`open` returns what is open.
    """

    @abstractmethod
    def open(self) -> ComputeSession:
        """Return a session, to be entered once, in the main thread, and left at the end of the run.

        Nothing that takes time is started before the first :meth:`ComputeSession.map`.
        """
