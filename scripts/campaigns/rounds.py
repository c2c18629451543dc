"""One round of a campaign: drivers on one store, and what they leave behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import drivers
import outcome
import psutil
from drivers import Driver

HANG_S = 90
"""Seconds after which a driver counts as hanging."""

LEFT_S = 10.0
"""Seconds after the end of a driver in which everything that it started must have ended."""


class Round:
    """An empty store, the drivers that work on it, and what is wrong afterwards.

    Args:
        folder: Its folder, to be made, below the working directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (self.folder / "tmp").mkdir()
        self.drivers: list[Driver] = []
        self.recorded: dict[str, dict[str, bytes]] = {}
        self.story: list[str] = []
        self.wrong: list[tuple[str, str]] = []
        self.ended: set[str] = set()
        self.pending: dict[str, float] = {}
        self.longest_left_s = 0.0

    def start(
        self,
        command: Sequence[str],
        before: Callable[[], None] = lambda: None,
        then: Callable[[], object] = lambda: None,
        variables: Mapping[str, str] | None = None,
    ) -> Driver:
        """Start a driver in a run folder of its own; arguments as of ``drivers.start``."""
        name = str(len(self.drivers))
        marker = f"{self.folder}#{name}"
        relative = self.folder.relative_to(Path.cwd())
        folders = [f"outputs_dir={relative}", f"hydra.run.dir={relative}/runs/{name}"]
        self.recorded[marker] = outcome.records(self.folder)
        driver = drivers.start(
            [*command, *folders, "watcher.mode=disabled"],
            self.folder / f"driver_{name}.txt",
            marker,
            {
                "TMPDIR": str(self.folder / "tmp"),
                "COUNTING_LEDGER": str(self.ledger),
                **(variables or {}),
            },
            before,
            then,
        )
        self.drivers.append(driver)
        return driver

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def fail(self, what: str, details: str) -> None:
        """Note something that is wrong."""
        self.wrong.append((what, details))

    def wait(self, driver: Driver) -> None:
        """Wait for the end of a driver."""
        self.pause(driver, HANG_S)
        if driver.status is None:
            driver.stacks()
            self.fail("hangs", f"driver {driver.log_path.name} after {HANG_S} s")
        self.note_end(driver)

    def pause(
        self, driver: Driver, seconds: float, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait like ``Driver.wait``; look meanwhile at what earlier drivers have left."""
        deadline = time.monotonic() + seconds
        while driver.status is None and time.monotonic() < deadline and not until():
            driver.wait(min(0.05, deadline - time.monotonic()), until)
            self.look_at_left()

    def note_end(self, driver: Driver) -> None:
        """Note that a driver has ended: what it started must end soon."""
        self.ended.add(driver.marker)
        self.pending[driver.marker] = driver.ended

    def look_at_left(self) -> bool:
        """Look once for processes of ended drivers; return True when there are none."""
        if not self.pending:
            return True
        now = time.monotonic()
        for marker, left in drivers.processes([*self.pending]).items():
            age = now - self.pending[marker]
            if not left or age > LEFT_S:
                del self.pending[marker]
                self.longest_left_s = max(self.longest_left_s, age)
            if left and age > LEFT_S:
                self.fail("processes left", "; ".join(_command_line(process) for process in left))
                for process in left:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
        return not self.pending

    def wait_for_left(self) -> None:
        """Wait until nothing is left of the drivers that have ended."""
        while not self.look_at_left():
            time.sleep(0.02)


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())}"[:300]
    return str(process.pid)
