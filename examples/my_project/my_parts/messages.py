"""A data set of your own: labelled texts from a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from sandbox import BaseDataExecutor, JobScope


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """A data set in two parts; a sample is ``{"text": "…", "label": "…"}``.

    Args:
        train_path: Pool to train on.
        heldout_path: Pool to measure on.
    """

    train_path: Path
    heldout_path: Path


@dataclass(frozen=True, kw_only=True)
class LabelledTable(BaseDataExecutor):
    """Read labelled texts from a CSV file and hold some of them out.

    Args:
        table_path: CSV file with the columns ``text`` and ``label``.
        heldout_every: Every so many rows one is held out.
    """

    table_path: Path
    heldout_every: Annotated[int, Ge(2)] = 5

    def run(self, *, scope: JobScope) -> LabelledTexts:
        with self.table_path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        heldout = rows[:: self.heldout_every]
        train = [row for index, row in enumerate(rows) if index % self.heldout_every]
        return LabelledTexts(
            train_path=_write(scope.output_dir / "train.jsonl", train),
            heldout_path=_write(scope.output_dir / "heldout.jsonl", heldout),
        )


def _write(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    lines = (json.dumps({"text": row["text"], "label": row["label"]}) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
