"""Every sample of one pool with every sample of another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.job import JobScope
from sandbox.pools import BaseDataPoolManipulator, OutputFormat, PoolPaths, Pools, check_packages
from sandbox.pools.naming import common_words
from sandbox.samples import SampleError, format_of, shown

if TYPE_CHECKING:
    from sandbox.pools.lines import Rows
    from sandbox.pools.writing import NewPool

_PIECE = 4 << 20


@dataclass(frozen=True, kw_only=True)
class DataPoolCartesianJoin(BaseDataPoolManipulator):
    """Join every sample of one data pool with every sample of another, such as videos with texts.

    A joined sample has the keys of both, those of the first pool's sample first, as they are
    spelled. The first sample of the first pool comes with all of the second pool, then the second
    sample does, …

    The result is M × N pools, pool i of the first with pool j of the second, by i, then by j:
    ``<common prefix of the first names>_<of the second>_cartesian_join_<i>_<j>.jsonl``.

    Args:
        first_paths: The M pools on the left.
        second_paths: The N pools on the right.
        output_format: Format of the new pools; ``None`` is the first pool's.

    Raises:
        SampleError: A pool is empty or malformed.
        ValueError: A key occurs on both sides.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolCartesianJoin; unlike it, a missing pool is an error.
    """

    first_paths: PoolPaths
    second_paths: PoolPaths
    output_format: OutputFormat | None = None

    check = staticmethod(check_packages)

    def run(self, *, scope: JobScope) -> Pools:
        """Write the joined pools."""
        from sandbox.pools.writing import NewPool, write_pools

        folder = scope.output_dir
        first = [_Side(path, folder) for path in self.first_paths]
        second = [_Side(path, folder) for path in self.second_paths]
        words = [common_words(self.first_paths), common_words(self.second_paths), "cartesian_join"]
        prefix = "_".join(filter(None, words))
        ending = self.output_format or format_of(self.first_paths[0])
        new = []
        for i, left in enumerate(first):
            for j, right in enumerate(second):
                path = folder / f"{prefix}_{i}_{j}.{ending}"
                rows = range(len(left.lines) * len(right.lines))
                new.append(NewPool(path, [(_Joined(left, right), rows)]))
        if ending == "parquet":
            return Pools(paths=_as_parquet(new, folder))
        return Pools(paths=write_pools(new))


def _as_parquet(new: list[NewPool], output_dir: Path) -> list[Path]:
    """Join as text, then find the types of the samples: types are a matter of whole pools."""
    from sandbox.pools.opening import open_table
    from sandbox.pools.writing import NewPool, write_pools

    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".join_") as name:
        folder = Path(name)
        text = [NewPool(folder / f"{i}.jsonl", pool.parts) for i, pool in enumerate(new)]
        tables = [open_table(path, folder) for path in write_pools(text)]
        typed = [
            NewPool(pool.path, [(table, range(len(table)))])
            for pool, table in zip(new, tables, strict=True)
        ]
        return write_pools(typed)


class _Side:
    """A pool on one side of a join: its lines and all their keys."""

    def __init__(self, path: Path, scratch_dir: Path) -> None:
        from sandbox.pools.opening import movable, open_lines

        self.path = path
        self.lines = movable(open_lines(path, scratch_dir), scratch_dir)
        self.keys: set[str] = set()
        for row, sample in enumerate(self.lines.samples()):
            has_bracket = self.lines.is_plain or self.lines[row].startswith(b"{")
            if not sample or not has_bracket:
                reason = (
                    "expected a JSON object with keys, without spaces before it, "
                    f"got {shown(self.lines[row])}"
                )
                raise SampleError.at(path, self.lines.number(row), reason)
            self.keys.update(sample)


class _Joined:
    """All pairs of lines: left ones lose their closing bracket, right ones their opening one."""

    def __init__(self, left: _Side, right: _Side) -> None:
        both = sorted(left.keys & right.keys)
        if both:
            raise ValueError(f"{left.path} and {right.path} both have {', '.join(both)}")
        self._left = left.lines
        self._right = right.lines

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """Yield all pairs, left line by left line.

        The view of the right lines is shifted by one byte: each begins after its own opening
        bracket and ends with the next line's. So after the first bracket, a left line fits between
        any two of them.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        from sandbox.pools.lines import data_of

        size = len(self._right)
        # So many lines that a piece has _PIECE bytes, the left line's copies not counted.
        step = max(1, _PIECE * size // len(self._right.bytes))
        for line in self._left:
            head = pa.scalar(line.strip()[1:-1].rstrip() + b", ", pa.large_binary())
            # The last right line has no next bracket: the piece ends with its line end.
            yield b"{"
            for start in range(0, size, step):
                right = self._right.block(start, min(start + step, size), shift=1)
                joined = pc.binary_join_element_wise(head, right, pa.scalar(b"", pa.large_binary()))
                yield data_of(joined)
