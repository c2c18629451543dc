"""The watcher of one run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandbox.job import JobFailed, Label, axes_text
from sandbox.system.wording import did_you_mean
from sandbox.watchers.metrics_file import MetricsFile, read_events
from sandbox.watchers.wandb_sink import WandbSink

if TYPE_CHECKING:
    from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)


class OpenWatcher:
    """Record, show and query the metrics of one run; made by :meth:`SandboxWatcher.open`.

    A context manager that closes itself. All methods may be called from any thread.

    Args:
        settings: Where metrics go.
        run_dir: Folder of the run.
        run_name: Name shown on wandb.
    """

    def __init__(self, settings: SandboxWatcher, run_dir: Path, run_name: str) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._run_name = run_name
        self._file = MetricsFile(run_dir)
        self._sink: WandbSink | None = None
        self._cfgs: dict[str, Any] = {}
        self._latest: dict[str, float] = {}
        self._described: set[str] = set()  # elements whose labels wandb shows
        self._is_closed = False
        self._lock = threading.Lock()
        # A run that is resumed continues its file.
        for _, metrics in read_events(run_dir):
            self._latest.update(metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            self.close()
        except JobFailed as error:
            if kind is None:
                raise
            log.error("%s", error)  # it must not hide the failure that ends the run

    def close(self) -> None:
        """Finish the file and wandb's run; recorded metrics can still be queried.

        Raises:
            JobFailed: The file is not complete.
        """
        with self._lock:
            self._is_closed = True
            sink, self._sink = self._sink, None
        # Outside the lock, because wandb may take until its time limit.
        if sink is not None:
            sink.close()
        # Last, so that a full disk has had the most time.
        with self._lock:
            self._file.close()

    def watch_cfgs(self, cfgs: Mapping[str, Any]) -> None:
        """Show configs on wandb.

        Args:
            cfgs: Plain values by name, unresolved, so that secrets remain ``${oc.env:…}``.
        """
        with self._lock:
            self._cfgs.update(cfgs)
            if self._sink is not None:
                self._sink.update_config(cfgs)

    def watch(
        self,
        metrics: Mapping[str, Any] | float,
        name: str = "",
        step: int | None = None,
        axes: Mapping[str, Label] | None = None,
    ) -> None:
        """Record metrics.

        Args:
            metrics: One number, or numbers by name; nested names are joined with dots. Truth values
                count as 0 and 1, numpy's and torch's scalars as numbers; other values are left out.
            name: Prefix of every name, usually the job; steps are counted per prefix.
            step: Step of the training, as the job counts; ``None`` for a result.
            axes: Labels by axis of the element with this name; ``None`` or empty: it has none.

        Raises:
            ValueError: A single number has no name.
            RuntimeError: The watcher is closed.
        """
        numbers = dict(_flatten(metrics, name))
        if "" in numbers:
            raise ValueError(f"metrics: the number {metrics!r} needs a name")
        if not numbers:
            return
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"the watcher of {self._run_dir} is closed")
            self._latest.update(numbers)
            # The file first: whatever wandb does, the metrics are recorded.
            self._file.append(step, numbers, axes or {})
            if self._settings.mode == "disabled":
                return
            if axes and name not in self._described:
                self._described.add(name)
                self._open_sink().update_config({f"elements.{name}": axes_text(axes)})
            self._open_sink().log(numbers, name, step)

    def query(self, name: str) -> float:
        """Return the last value of a metric by its full name, such as ``score.CIDEr``.

        Raises:
            KeyError: No such metric was recorded; the message lists similar names.
        """
        with self._lock:
            if name in self._latest:
                return self._latest[name]
            known = sorted(self._latest)
        # the same number of another job, or other numbers of this one, before all others
        related = [other for other in known if other.startswith(name) or other.endswith(f".{name}")]
        hint = did_you_mean(name, related or known)
        raise KeyError(f"no metric {name!r} was recorded; {hint}")

    def _open_sink(self) -> WandbSink:
        if self._sink is None:
            self._sink = WandbSink(self._settings, self._run_dir, self._run_name, self._cfgs)
        return self._sink


def _flatten(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
        return
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        yield name, value
    elif isinstance(value, int):
        yield name, int(value)
