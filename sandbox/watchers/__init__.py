"""Watcher: where the metrics of a run go. This module holds the family's one member."""

from __future__ import annotations

import difflib
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from sandbox.job import Secret
from sandbox.watchers.wandb_sink import WandbSink

Mode = Literal["offline", "online", "disabled"]

METRICS_FILE = "metrics.jsonl"

_LOG = logging.getLogger(__name__)
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class SandboxWatcher:
    """Keep the metrics of a run: in its folder's ``metrics.jsonl``, and on Weights & Biases.

    The file is the truth and is written first, one line a call of :meth:`watch`:
    ``{"time": 1795351578.2, "step": 10, "metrics": {"train.loss": 0.5}}``. Names are flat, ``step`` is a
    number or null, and a value that JSON lacks is the string "NaN", "Infinity" or "-Infinity", which
    ``float`` reads in every language; the last value of a name counts. Wandb is started in a thread
    of its own at the first metric; whatever fails there is logged once and ends wandb, never the run.

    Args:
        mode: What wandb does: ``offline`` keeps its files under the run's folder (``wandb sync``
            uploads them later), ``online`` sends them, ``disabled`` leaves wandb out.
        project: Wandb project.
        entity: Wandb user or team; ``None`` is the account's default.
        group: Wandb group; ``None`` is no group.
        tags: Wandb tags.
        api_key: Wandb key, only as ``${oc.env:WANDB_API_KEY}``; handed to wandb and written nowhere.
            ``None`` is the key that wandb itself finds.
        system_metrics: Whether wandb also records CPU, memory and GPU use.
        timeout_s: How long wandb may take to start, and again to end.

    Raises:
        ValueError: ``mode`` is none of the three, or ``timeout_s`` is not positive.

    Source: Data-Juicer Sandbox guide, SandboxWatcher; unlike it, wandb is optional and offline, runs
    are finished, and ``query`` reads our own file.
    """

    def __init__(
        self,
        mode: Mode = "offline",
        project: str = "sandbox",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        api_key: Secret | None = None,
        system_metrics: bool = False,
        timeout_s: float = 30.0,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode: {mode!r} is none of {', '.join(get_args(Mode))}")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s: {timeout_s} is not positive")
        self.mode = mode
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = tuple(tags)
        self.api_key = api_key
        self.system_metrics = system_metrics
        self.timeout_s = timeout_s
        self._lock = threading.RLock()
        self._run_dir: Path | None = None
        self._run_name = ""
        self._cfgs: dict[str, Any] = {}
        self._latest: dict[str, float] = {}
        self._sink: WandbSink | None = None
        self._file: int | None = None
        self._file_works = True

    def check(self) -> None:
        """Raises ValueError: wandb is to be online, and nothing says that it finds a key."""
        if self.mode == "online" and not self.api_key and not _has_key():
            raise ValueError(
                "mode is online and there is no key: set WANDB_API_KEY or run `wandb login`"
            )

    def open(self, run_dir: Path, run_name: str = "") -> Self:
        """Take up the run in ``run_dir``: what it has recorded can be queried, what comes is appended.

        Nothing is written before the first metric.
        """
        with self._lock:
            self.close()
            self._run_dir, self._run_name, self._cfgs = run_dir, run_name or run_dir.name, {}
            self._latest = {
                name: value for event in read_events(run_dir) for name, value in event[1].items()
            }
            self._file_works = True
        return self

    def close(self) -> None:
        """Finish wandb's run and the file; what was recorded can still be queried."""
        with self._lock:
            sink, self._sink = self._sink, None
            if self._file is not None:
                os.close(self._file)
            self._file = None
        if sink is not None:
            sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def watch_cfgs(self, cfgs: Mapping[str, Any]) -> None:
        """Show configs on wandb, by name: plain values, unresolved, so that secrets stay ``${oc.env:…}``."""
        with self._lock:
            self._cfgs.update(cfgs)
            if self._sink is not None:
                self._sink.update_config(cfgs)

    def watch(
        self, metrics: Mapping[str, Any] | float, name: str = "", step: int | None = None
    ) -> None:
        """Record metrics, from any thread.

        Args:
            metrics: One number, or names and numbers; nested names are joined with dots. Truth values
                count as 0 and 1, numpy's and torch's scalars as numbers; everything else is left out.
            name: Put before every name, usually the job's; steps count within it.
            step: Step of the training, in the job's own counting; ``None`` for a result.

        Raises:
            ValueError: A single number has no name.
            RuntimeError: No run is open.
        """
        flat = dict(_flatten(metrics, name))
        if "" in flat:
            raise ValueError(f"metrics: the number {metrics!r} needs a name")
        if not flat:
            return
        with self._lock:
            if self._run_dir is None:
                raise RuntimeError("watch() was called before open()")
            self._latest.update(flat)
            self._write(
                {"time": time.time(), "step": step, "metrics": _to_json(flat)}, self._run_dir
            )
            if self.mode != "disabled":
                if self._sink is None:
                    self._sink = self._start_sink(self._run_dir)
                self._sink.log(flat, name, step)

    def query(self, name: str) -> float:
        """The last value of a metric, by its full name: ``query("score.CIDEr")``.

        Raises:
            KeyError: Nothing of that name was recorded; the message lists near names.
        """
        with self._lock:
            if name in self._latest:
                return self._latest[name]
            known = sorted(self._latest)
        near = [other for other in known if other.startswith(name) or other.endswith("." + name)]
        near += [
            other for other in difflib.get_close_matches(name, known, n=8) if other not in near
        ]
        available = near[:20] or known[:20]
        raise KeyError(
            f"no metric {name!r} was recorded; available: {', '.join(available) or 'none'}"
        )

    def history(self, name: str) -> list[tuple[int | None, float]]:
        """All recorded (step, value) pairs of a metric, oldest first; empty for an unknown name."""
        if self._run_dir is None:
            return []
        return [
            (step, values[name]) for step, values in read_events(self._run_dir) if name in values
        ]

    def _write(self, event: Mapping[str, Any], run_dir: Path) -> None:
        if not self._file_works:
            return
        try:
            if self._file is None:
                self._file = _open_for_append(run_dir / METRICS_FILE)
            # One unbuffered write a line: complete whenever the process dies, whole beside other writers.
            os.write(self._file, (json.dumps(event, allow_nan=False) + "\n").encode())
        except OSError as error:
            self._file_works = False
            _LOG.warning("metrics are no longer written to %s: %s", run_dir / METRICS_FILE, error)

    def _start_sink(self, run_dir: Path) -> WandbSink:
        return WandbSink(
            run_dir,
            self._run_name,
            mode=self.mode,
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            api_key=self.api_key,
            system_metrics=self.system_metrics,
            timeout_s=self.timeout_s,
            config=self._cfgs,
        )


def _has_key() -> bool:
    """Whether wandb may find a key where it looks for one; the same places as in its ``sdk/lib/wbauth``."""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    for path in (
        folder / "settings",
        Path("wandb/settings"),
    ):  # may name a key, or a server of one's own
        if path.is_file() and re.search(r"^\s*(api_key|base_url)\b", path.read_text(), re.M):
            return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    paths = [
        Path(os.environ.get("NETRC") or name).expanduser() for name in ("~/.netrc", "~/_netrc")
    ]
    return any(path.is_file() and str(host) in path.read_text().split() for path in paths)


def read_events(run_dir: Path) -> Iterator[tuple[int | None, dict[str, float]]]:
    """The (step, metrics) pairs of a run's ``metrics.jsonl``, oldest first; none without the file.

    A line that was cut off when its writer died is left out.
    """
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                metrics = {name: float(value) for name, value in event["metrics"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            yield event.get("step"), metrics


def _open_for_append(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":  # a writer that died in the middle of a line
        os.write(file, b"\n")
    return file


def _flatten(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
        return
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, (bool, int, float)):
        yield name, value if isinstance(value, float) else int(value)


def _to_json(flat: Mapping[str, float]) -> dict[str, float | str]:
    return {
        name: value if math.isfinite(value) else _NON_FINITE.get(value, "NaN")
        for name, value in flat.items()
    }
