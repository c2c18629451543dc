"""Executors: programs that make data and models. This module holds the bases of the family."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.job import JobScope, Watch
from sandbox.system.follow import FileFollower

COMPLETED = "sandbox: completed"
"""Completion identifier: the last line of the log of a model executor that succeeded."""

_POLL_S = 0.2


class BaseDataExecutor(ABC):
    """Make or convert data."""

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, *, scope: JobScope) -> Any:
        """Write files under ``scope.output_dir`` only; return the results, a frozen dataclass."""


class BaseRecipeExecutor(ABC):
    """Analyze or process a data set by a recipe."""

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, dataset_path: Path, recipe: Mapping[str, Any], *, scope: JobScope) -> Any:
        """Write files under ``scope.output_dir`` only; return the results, a frozen dataclass.

        Args:
            dataset_path: Data pool in Data-Juicer's format.
            recipe: Data-Juicer's own keys; ``process`` is a mapping by operator (an operator that
                occurs again has a suffix, ``text_length_filter__2``) or Data-Juicer's list.
            scope: Scope of the job.
        """


class BaseModelExecutor(ABC):
    """Train a model or infer with one, in a program of its own.

    A subclass starts the program in :meth:`_run`, names its files in :meth:`outputs`, and may
    override :meth:`data_connector` and :meth:`_watch_run`. Numbers go to the watcher; the results
    are paths.

    ``RESUMABLE``: after a failure the next attempt finds ``output_dir`` as the last one left it,
    and reads the metrics of the earlier ones from their logs, of which a launcher that was killed
    has not seen the end. The program leaves its state in ``scope.resume_dir`` and removes none of
    it at its end: the launcher may be gone before it has recorded the result.
    """

    VERSION: ClassVar[int] = 1
    RESUMABLE: ClassVar[bool] = False

    def run(self, *, scope: JobScope) -> Any:
        """Convert the data set, run the program, follow its log, and return :meth:`outputs`.

        Raises:
            ProcessError: The program failed.
        """
        import asyncio

        for log_path in scope.earlier_log_paths:
            for line in FileFollower(log_path).read_lines():
                self._watch_run(line, scope.watch)
        data = self.data_connector(scope=scope)
        asyncio.run(self._run_and_watch(data, scope))
        return self.outputs(scope=scope)

    def data_connector(self, *, scope: JobScope) -> Any:
        """Convert the data set to the format of the model library; ``None`` without a data set."""
        return None

    @abstractmethod
    async def _run(self, data: Any, *, scope: JobScope) -> None:
        """Run the program with its output in ``scope.log_path``.

        Args:
            data: The value that :meth:`data_connector` returned.
            scope: Scope of the job.
        """

    @abstractmethod
    def outputs(self, *, scope: JobScope) -> Any:
        """Return the paths that the finished program left, a frozen dataclass.

        The annotation of its return type declares the results of the component.
        """

    async def watch_run(self, scope: JobScope) -> None:
        """Pass each line of the growing log to :meth:`_watch_run`, up to the last one."""
        import asyncio

        log = FileFollower(scope.log_path)
        while True:
            for line in log.read_lines():
                if line.startswith(COMPLETED):
                    return
                self._watch_run(line, scope.watch)
            await asyncio.sleep(_POLL_S)

    def _watch_run(self, line: str, watch: Watch) -> None:
        """Pick the metrics out of one line of the log.

        By default that is the line that our workers print, ``{"metrics": {...}, "step": 10}``.
        """
        if not line.startswith('{"metrics"'):
            return
        try:
            # Several programs write to one log, so that another's text may follow on the same line.
            event, _ = json.JSONDecoder().raw_decode(line)
        except (ValueError, RecursionError):
            return
        watch(event["metrics"], event.get("step"))

    async def _run_and_watch(self, data: Any, scope: JobScope) -> None:
        import asyncio

        watching = asyncio.create_task(self.watch_run(scope))
        try:
            await self._run(data, scope=scope)
        except BaseException:
            await asyncio.sleep(2 * _POLL_S)  # lets the watcher read the program's last lines
            watching.cancel()
            raise
        with scope.log_path.open("a", encoding="utf-8") as log:
            log.write(f"\n{COMPLETED}\n")  # on a line of its own, however the program ended
        await watching


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model on disk.

    Args:
        checkpoint_path: Folder that transformers' own classes load: weights, tokenizer, configs.
    """

    checkpoint_path: Path
