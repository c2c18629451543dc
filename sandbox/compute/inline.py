"""Run element jobs here, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sandbox.compute import BaseCompute, T


class Inline(BaseCompute):
    """Run every item in this process, in order."""

    def map(
        self, function: Callable[[T], None], items: Sequence[T]
    ) -> Iterator[tuple[int, Exception | None]]:
        for index, item in enumerate(items):
            try:
                function(item)
            except Exception as error:
                yield index, error
            else:
                yield index, None
