"""Texts of one's own: a file or a folder in any usual format, with a held-out split."""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sandbox.datasets import Duplicates, Share, listing
from sandbox.datasets.tables import data_files, kind_of, read_rows
from sandbox.evaluators.duplicate_search import Similarity
from sandbox.evaluators.pool_texts import write_rows
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, PositiveInt, rule
from sandbox.samples import SampleError, format_of, text_of

if TYPE_CHECKING:
    from sandbox.datasets.text_groups import TextGroups
    from sandbox.evaluators.minhash import Rows
    from sandbox.pools.lines import Lines
    from sandbox.pools.table import Table

TEXT = "text"
"""Key of the text in the new pools, which all components read by default."""


@dataclass(frozen=True, kw_only=True)
class TextFileData:
    """Texts as two data pools.

    Args:
        train_path: Samples to train on.
        heldout_path: Held-out samples.
        dropped_path: Samples that were left out, JSON Lines: ``number``, that of the line, or of
            the row in Parquet, from 1, and ``reason``.
        num_samples: Number of samples found.
        num_train: Number of samples to train on.
        num_heldout: Number of held-out samples.
        num_empty: Samples without text.
        num_duplicates: Samples whose text occurs before.
        num_near_duplicates: Texts in use that another one makes nearly superfluous: the number of
            different texts less the number of clusters.
        summary: The same in words.
    """

    train_path: Path
    heldout_path: Path
    dropped_path: Path
    num_samples: int
    num_train: int
    num_heldout: int
    num_empty: int
    num_duplicates: int
    num_near_duplicates: int
    summary: str


@dataclass(frozen=True, kw_only=True)
class TextFile(BaseDataExecutor):
    """Take texts from a file or a folder, and hold out a part of them.

    Writes the pools ``train`` and ``heldout`` with the text under ``text``. Samples keep their
    other fields, their order and their format; ``.txt``, one text a line, CSV with a header, and
    samples with another ``text_key`` become JSON Lines.

    A hash of its text decides on which side a sample is, so that it stays there whatever the order
    of the samples, and whichever others are added. Near-duplicates, as
    :class:`~sandbox.evaluators.near_duplicates.NearDuplicates` finds them, are on the side of the
    one with the smallest hash, which a new near-duplicate may change.

    Args:
        path: JSON Lines, also ``.gz`` and ``.zst``, Parquet, ``.txt``, CSV, or a folder with files
            of one of these kinds; its subfolders are not read.
        text_key: Key, or column, of the text. Another one than ``text`` takes the place of that.
        heldout_fraction: Share of held-out texts, which a small file meets only roughly.
        duplicates: The same text again, apart from white space around it: ``drop`` leaves out all
            but the first, ``keep`` has them on one side, ``error`` ends the run.
        near_duplicate_threshold: Similarity from which on texts are near-duplicates.
        num_samples: Most samples to use, training and held-out, drawn at random; ``None`` uses all.
        seed: Seed of that draw; the split does not depend on it.

    Raises:
        SampleError: A sample has no text under ``text_key``; null or white space is left out.
        ValueError: There are fewer than two texts that are no near-duplicates of each other, a side
            of the split has none, or there are duplicates and ``duplicates`` is ``error``.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("pyarrow",)}

    path: Path
    text_key: str = "text"
    heldout_fraction: Share = 0.1
    duplicates: Duplicates = "drop"
    near_duplicate_threshold: Similarity = 0.7
    num_samples: PositiveInt | None = None
    seed: int = 0

    @rule
    def _path_holds_texts(path: Path, text_key: str) -> None:
        first = list(itertools.islice(_samples(path), 2))
        if len(first) < 2:
            raise ValueError(
                f"{path} has {len(first)} samples, expected at least 2: one to train on and one to "
                "hold out"
            )
        number, sample = first[0]
        _text(sample, _key_in(path, text_key), path, number)

    def run(self, *, scope: JobScope) -> TextFileData:
        """Read the texts, leave some out, and write the two pools."""
        from sandbox.datasets.text_groups import group_texts
        from sandbox.pools.opening import movable

        folder = scope.output_dir
        pool = movable(self._opened(folder), folder)
        texts = (
            _text(sample, TEXT, self.path, pool.number(row))
            for row, sample in enumerate(pool.samples())
        )
        groups = group_texts(texts, self.near_duplicate_threshold, folder)
        if self.duplicates == "error":
            self._refuse_copies(pool, groups)
        is_left_out = groups.is_empty
        if self.duplicates == "drop":
            is_left_out |= groups.is_copy
        rows = (~is_left_out).nonzero()[0]
        if self.num_samples is not None:
            rows = groups.drawn(rows, self.num_samples, self.seed)
        train, heldout = self._split(groups, rows)
        dropped = (
            {"number": pool.number(row), "reason": _reason(groups, row, pool)}
            for row in is_left_out.nonzero()[0].tolist()
        )
        train_path, heldout_path = self._write(pool, folder, train, heldout)
        return TextFileData(
            train_path=train_path,
            heldout_path=heldout_path,
            dropped_path=write_rows(folder / "dropped.jsonl", dropped),
            num_samples=len(pool),
            num_train=len(train),
            num_heldout=len(heldout),
            num_empty=int(groups.is_empty.sum()),
            num_duplicates=int(groups.is_copy.sum()),
            num_near_duplicates=groups.num_texts(rows) - groups.num_groups(rows),
            summary=self._summary(groups, train, heldout),
        )

    def _opened(self, scratch_dir: Path) -> Lines | Table:
        """Open the data pool, or make one of what is none yet."""
        import numpy as np

        from sandbox.pools.lines import Lines, scratch_file
        from sandbox.pools.opening import open_pool

        if self._is_ready():
            return open_pool(self.path, None, scratch_dir)
        key = _key_in(self.path, self.text_key)
        file, numbers = scratch_file(scratch_dir), array("Q")
        for number, sample in _samples(self.path):
            text = _text(sample, key, self.path, number)
            others = {name: sample[name] for name in sample if name not in (key, TEXT)}
            try:
                line = json.dumps({TEXT: text, **others}, ensure_ascii=False).encode()
            # Bytes or a date of Parquet, or half of a surrogate pair.
            except (TypeError, UnicodeEncodeError) as error:
                raise SampleError.at(self.path, number, str(error)) from error
            file.write(line + b"\n")
            numbers.append(number)
        file.flush()
        # Lines without a sample, such as the header of CSV, count in messages as blank ones do.
        without = np.setdiff1d(np.arange(1, numbers[-1] + 1), numbers) - 1
        return Lines(file, self.path, without)

    def _is_ready(self) -> bool:
        return self.text_key == TEXT and kind_of(data_files(self.path)[0]) == "pool"

    def _split(self, groups: TextGroups, rows: Rows) -> tuple[Rows, Rows]:
        """Return the training and the held-out rows."""
        num_groups = groups.num_groups(rows)
        if num_groups < 2:
            raise ValueError(
                f"{self._found(groups)}: no two texts are left that differ, one to train on and "
                "one to hold out"
            )
        is_heldout = groups.is_heldout(rows, self.heldout_fraction)
        train, heldout = rows[~is_heldout], rows[is_heldout]
        if not len(train) or not len(heldout):
            side = "held-out" if len(train) else "training"
            raise ValueError(
                f"heldout_fraction {self.heldout_fraction} leaves no {side} data of the "
                f"{len(rows)} texts in {self.path}; choose another heldout_fraction"
            )
        return train, heldout

    def _write(
        self, pool: Lines | Table, folder: Path, train: Rows, heldout: Rows
    ) -> tuple[Path, Path]:
        from sandbox.pools.writing import NewPool, write_pools

        ending = format_of(self.path) if self._is_ready() else "jsonl"
        train_path, heldout_path = write_pools(
            [
                NewPool(folder / f"train.{ending}", [(pool, train)]),
                NewPool(folder / f"heldout.{ending}", [(pool, heldout)]),
            ]
        )
        return train_path, heldout_path

    def _refuse_copies(self, pool: Lines | Table, groups: TextGroups) -> None:
        copies = groups.is_copy.nonzero()[0].tolist()
        if copies:
            pairs = [f"{pool.number(row)} = {_original(groups, row, pool)}" for row in copies]
            raise ValueError(
                f"{len(copies)} samples of {self.path} repeat a text, by number: {listing(pairs)}; "
                "duplicates=drop leaves them out"
            )

    def _found(self, groups: TextGroups) -> str:
        return (
            f"{self.path.name}: {len(groups.digests):,} samples, {groups.is_copy.sum():,} "
            f"duplicates and {groups.is_empty.sum():,} without text"
        )

    def _summary(self, groups: TextGroups, train: Rows, heldout: Rows) -> str:
        treatment = "left out" if self.duplicates == "drop" else "kept together"
        return (
            f"{self.path.name}: {len(groups.digests):,} samples, {len(train):,} to train on and "
            f"{len(heldout):,} held out; {groups.is_copy.sum():,} duplicates {treatment}, "
            f"{groups.is_empty.sum():,} without text left out"
        )


def _samples(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the samples of a file, or of the files in a folder, with numbers that run on."""
    files = data_files(path)
    if kind_of(files[0]) == "pool":
        yield from read_rows(path)
        return
    before = 0
    for each in files:
        number = 0
        for number, sample in read_rows(each):
            yield before + number, sample
        before += number


def _key_in(path: Path, text_key: str) -> str:
    """Return the key of the text as samples are read: lines of text files have no other."""
    return TEXT if kind_of(data_files(path)[0]) == "txt" else text_key


def _text(sample: Mapping[str, Any], text_key: str, path: Path, number: int) -> str:
    """Return a sample's text; null counts as an empty one."""
    if text_key in sample and sample[text_key] is None:
        return ""
    return text_of(sample, text_key, path, number)


def _original(groups: TextGroups, row: int, pool: Lines | Table) -> int:
    return pool.number(int(groups.originals[row]))


def _reason(groups: TextGroups, row: int, pool: Lines | Table) -> str:
    if groups.is_empty[row]:
        return "no text"
    return f"same text as {_original(groups, row, pool)}"
