"""Tickets: which SLURM job does an item, kept in the item's folder, so that no driver submits it twice."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "slurm.json"


@dataclass(frozen=True)
class Ticket:
    """One submitted item.

    Args:
        job_id: SLURM's id, of an array ``<array>_<index>``.
        folder: Folder of submissions, with submitit's ``%j`` for the job's id.
        comment: The job's comment: tells it from another cluster's or another year's job of that number.
        driver: The process that submitted it and waits for it, as :func:`sandbox.liveness.this_process`
            has it.
    """

    job_id: str
    folder: str
    comment: str
    driver: str

    def write(self, item_folder: Path) -> None:
        """Keep it in the item's folder."""
        item_folder.mkdir(parents=True, exist_ok=True)
        temporary = item_folder / f".{_NAME}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(item_folder / _NAME)

    @staticmethod
    def read(item_folder: Path) -> Ticket | None:
        """The item's last ticket, if it has one that can be read."""
        try:
            return Ticket(**json.loads((item_folder / _NAME).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def remove(self, item_folder: Path) -> None:
        """Take it out of the item's folder, unless another has replaced it."""
        if Ticket.read(item_folder) == self:
            (item_folder / _NAME).unlink(missing_ok=True)


@contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Hold a folder of submissions, so that two drivers look and submit one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
