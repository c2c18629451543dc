"""Every sample of one pool with every sample of another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs
from sandbox.pools import BaseDataPoolManipulator
from sandbox.pools.lines import Rows, data_of
from sandbox.pools.opening import movable, open_lines, open_table, parse
from sandbox.pools.pool_file import base_names, check_format, check_paths, common_words, format_of
from sandbox.pools.writing import NewPool, prepare, write_pools

_PIECE = 4 << 20


class DataPoolCartesianJoin(BaseDataPoolManipulator):
    """Join every sample of one data pool with every sample of another, such as videos with texts.

    A joined sample has the keys of both, those of the first pool's sample first, as they are spelled.
    The first sample of the first pool comes with all of the second pool, then the second one, …

    Outputs:
        paths: M × N pools, pool i of the first with pool j of the second, by i, then by j:
            ``<common prefix of the first names>_<of the second>_cartesian_join_<i>_<j>.jsonl``.

    Args:
        first_paths: The M pools on the left.
        second_paths: The N pools on the right.
        output_format: ``jsonl``, ``jsonl.gz``, ``jsonl.zst`` or ``parquet``; ``None`` is the first pool's.

    Raises:
        ValueError: A list is empty, a pool is empty or malformed, or a key occurs on both sides.
        FileNotFoundError: A pool is missing.

    Source: Data-Juicer Sandbox, DataPoolCartesianJoin; unlike it, a missing pool is an error.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)

    def __init__(
        self,
        first_paths: Sequence[Path],
        second_paths: Sequence[Path],
        output_format: str | None = None,
    ) -> None:
        self.first_paths = check_paths(first_paths, argument="first_paths")
        self.second_paths = check_paths(second_paths, argument="second_paths")
        check_format(output_format)
        self.output_format = output_format

    def run(self, *, output_dir: Path) -> Outputs:
        """Write the joined pools."""
        prepare(output_dir)
        first = [_Side(path, output_dir) for path in self.first_paths]
        second = [_Side(path, output_dir) for path in self.second_paths]
        words = [common_words(base_names(paths)) for paths in (self.first_paths, self.second_paths)]
        prefix = "_".join([*filter(None, words), "cartesian_join"])
        ending = self.output_format or format_of(self.first_paths[0])
        new = []
        for i, left in enumerate(first):
            for j, right in enumerate(second):
                both = sorted(left.keys & right.keys)
                if both:
                    raise ValueError(f"{left.name} and {right.name} both have {', '.join(both)}")
                path = output_dir / f"{prefix}_{i}_{j}.{ending}"
                rows = range(len(left.lines) * len(right.lines))
                new.append(NewPool(path, [(_Joined(left, right), rows)]))
        if ending == "parquet":
            return {"paths": self._as_parquet(new, output_dir)}
        return {"paths": write_pools(new)}

    @staticmethod
    def _as_parquet(new: list[NewPool], output_dir: Path) -> list[Path]:
        """Join as text, then give the samples types."""
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".join_") as name:
            folder = Path(name)
            text = write_pools(
                [NewPool(folder / f"{i}.jsonl", pool.parts) for i, pool in enumerate(new)]
            )
            tables = [open_table(path, folder) for path in text]
            typed = zip(new, tables, strict=True)
            return write_pools(
                [NewPool(pool.path, [(table, range(len(table)))]) for pool, table in typed]
            )


class _Side:
    """A pool on one side of a join: its lines and all their keys."""

    def __init__(self, path: Path, scratch_dir: Path) -> None:
        self.name = str(path)
        self.lines = movable(open_lines(path, scratch_dir), scratch_dir)
        self.keys: set[str] = set()
        for number, line in enumerate(self.lines, 1):
            keys = parse(line, self.name, number).keys()
            if not keys or not line.startswith(b"{"):
                raise ValueError(
                    f"{path}: sample {number}: expected a JSON object with keys, without spaces before it, "
                    f"got {line[:60]!r}"
                )
            self.keys.update(keys)


class _Joined:
    """All pairs of lines; of a left line the closing bracket goes, of a right one the opening one."""

    def __init__(self, left: _Side, right: _Side) -> None:
        self._left = left.lines
        self._right = right.lines

    def pieces(self, rows: Rows) -> Iterator[Any]:
        """All pairs, left line by left line.

        The lines on the right are shown shifted by one byte, each without its own opening bracket and
        with the next one's: after the first bracket, every left line goes between two of them.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        size = len(self._right)
        step = max(1, _PIECE * size // len(self._right.bytes))
        for line in self._left:
            head = pa.scalar(line.strip()[1:-1].rstrip() + b", ", pa.large_binary())
            yield b"{"
            for start in range(0, size, step):
                right = self._right.block(start, min(start + step, size), shift=1)
                joined = pc.binary_join_element_wise(head, right, pa.scalar(b"", pa.large_binary()))
                yield data_of(joined)
