"""Executors: programs that make data and models. This module holds the bases of the family."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import Outputs, Watch

COMPLETED = "sandbox: completed"
"""Completion identifier: the last line of the log of a model executor that succeeded."""

_POLL_S = 0.2


class BaseDataExecutor(ABC):
    """Make or convert data."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        """Write everything under ``output_dir`` and return the declared ``OUTPUTS``."""


class BaseRecipeExecutor(ABC):
    """Analyze or process a data set by a recipe."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any],
        *,
        output_dir: Path,
        log_path: Path,
        cache_dir: Path | None = None,
    ) -> Outputs:
        """Write everything under ``output_dir`` and return the declared ``OUTPUTS``.

        Args:
            dataset_path: Data set in Data-Juicer's format, JSON Lines.
            recipe: Data-Juicer's own keys; ``process`` is a mapping by operator (an operator that
                occurs again has a suffix, ``text_length_filter__2``) or Data-Juicer's list.
            output_dir: Folder of the job.
            log_path: Where programs write their output.
            cache_dir: Folder shared by all jobs for what can be made again; ``None`` without one.
        """


class BaseModelExecutor(ABC):
    """Train a model or infer with one, in a program of its own.

    A subclass starts the program in :meth:`_run`, names what it wrote in :meth:`outputs`, and may
    override :meth:`data_connector` and :meth:`_watch_run`. Numbers go to the watcher; only paths
    are outputs.

    ``RESUMABLE``: after a failure the next attempt finds ``output_dir`` as the last one left it.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    VERSION: ClassVar[int] = 1
    RESUMABLE: ClassVar[bool] = False

    def run(self, *, output_dir: Path, log_path: Path, watch: Watch) -> Outputs:
        """Convert the data set, run the program, follow its log, and return :meth:`outputs`.

        Raises:
            ProcessError: The program failed.
        """
        data = self.data_connector(output_dir)
        asyncio.run(self._run_and_watch(data, output_dir, log_path, watch))
        return self.outputs(output_dir)

    def data_connector(self, output_dir: Path) -> Any:
        """Turn the sandbox's data set into what the model library reads; ``None`` without a data set."""
        return None

    @abstractmethod
    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        """Run the program with its output in ``log_path``; ``data`` is what the connector returned."""

    @abstractmethod
    def outputs(self, output_dir: Path) -> Outputs:
        """The paths that the finished program left, by the names in ``OUTPUTS``."""

    async def watch_run(self, log_path: Path, watch: Watch) -> None:
        """Hand every line of the growing log to :meth:`_watch_run`, up to the completion identifier."""
        while not log_path.exists():
            await asyncio.sleep(_POLL_S)
        with log_path.open(encoding="utf-8", errors="replace") as log:
            line = ""
            while not line.startswith(COMPLETED):
                piece = log.readline()
                if not piece:
                    await asyncio.sleep(_POLL_S)
                    continue
                line += piece
                if line.endswith("\n"):
                    self._watch_run(line.rstrip("\n"), watch)
                    line = "" if not line.startswith(COMPLETED) else line

    def _watch_run(self, line: str, watch: Watch) -> None:
        """Pick the metrics out of one line of the log.

        Here: the line that our workers print, ``{"metrics": {...}, "step": 10}``.
        """
        if not line.startswith('{"metrics"'):
            return
        try:
            event, _ = json.JSONDecoder().raw_decode(line)
        except ValueError:  # several programs write to one log and may mix a line up
            return
        watch(event["metrics"], event.get("step"))

    async def _run_and_watch(
        self, data: Any, output_dir: Path, log_path: Path, watch: Watch
    ) -> None:
        watching = asyncio.create_task(self.watch_run(log_path, watch))
        try:
            await self._run(data, output_dir=output_dir, log_path=log_path)
        except BaseException:
            await asyncio.sleep(2 * _POLL_S)  # lets the watcher read what the program wrote last
            watching.cancel()
            raise
        with log_path.open("a", encoding="utf-8") as log:
            log.write(f"\n{COMPLETED}\n")  # on a line of its own, however the program ended
        await watching
