"""Tickets: which SLURM job does an item, kept in the item's folder, so that no driver submits it twice."""

from __future__ import annotations

import fcntl
import json
import os
import platform
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
        driver: The process that submitted it and waits for it.
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


def this_driver() -> str:
    """What tells this process from any other."""
    return f"{platform.node()} {os.getpid()} {_started(os.getpid())}"


def is_orphan(driver: str) -> bool:
    """Whether a driver is known to have ended: it was a process of this host and is gone."""
    host, pid, started = driver.split()
    return host == platform.node() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process of this host began, in the kernel's count; a number is given to others later."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if fields[0] == "Z" else fields[19]


@contextmanager
def submitting(folder: Path) -> Iterator[None]:
    """Hold a folder of submissions, so that two drivers look and submit one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
