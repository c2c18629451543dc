"""Run element jobs here, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sandbox.compute import BaseCompute, Begun, ComputeSession, T, ignore
from sandbox.system.kept import close_kept


@dataclass(frozen=True, kw_only=True)
class Inline(BaseCompute):
    """Run every item in this process, in order."""

    def open(self) -> ComputeSession:
        return _InlineSession()


class _InlineSession(ComputeSession):
    def map(
        self, function: Callable[[T], None], items: Sequence[T], begun: Begun = ignore
    ) -> Iterator[tuple[int, Exception | None]]:
        try:
            for index, item in enumerate(items):
                begun(index)
                try:
                    function(item)
                except Exception as error:
                    yield index, error
                else:
                    yield index, None
        finally:
            close_kept()

    def __str__(self) -> str:
        return "inline"
