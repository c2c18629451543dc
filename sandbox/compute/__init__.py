"""Compute: where the element jobs of a job run. This module holds the base of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class BaseCompute(ABC):
    """Runs a function on each of several items."""

    @abstractmethod
    def map(
        self, function: Callable[[T], None], items: Sequence[T]
    ) -> Iterator[tuple[int, Exception | None]]:
        """Run ``function`` on every item; yield, as each ends, its index and its error or ``None``."""

    def close(self) -> None:  # noqa: B027  most have nothing to release
        """Release what was held; called once, at the end of the run."""

    def __str__(self) -> str:
        return type(self).__name__.lower()
