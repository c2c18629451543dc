"""Weights & Biases shows the metrics of a run; it may be slow, broken or absent."""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sandbox.watchers import SandboxWatcher

log = logging.getLogger(__name__)

_SPARE_S = 5.0

Event = tuple[Mapping[str, float], str, int | None]


class WandbSink:
    """One wandb run in a thread of its own, so that wandb can neither delay nor fail our run.

    A step is sent as a metric of its own, ``<name>/step``: every job counts from 0, while wandb's
    built-in step only grows. Metric names keep their dots, which wandb reads as nesting unless they
    are escaped.

    Args:
        settings: Project, mode, key and the other settings of wandb.
        run_dir: Folder of the run; wandb's files go into ``wandb`` there.
        run_name: Name shown for the run.
        config: Config shown with the run.
    """

    def __init__(
        self, settings: SandboxWatcher, run_dir: Path, run_name: str, config: Mapping[str, Any]
    ) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._run_name = run_name
        self._config = dict(config)
        self._events: queue.SimpleQueue[Event | dict[str, Any] | None] = queue.SimpleQueue()
        self._defined: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="wandb sink", daemon=True)

    def start(self) -> None:
        """Start wandb, unless it was started before; until then metrics wait."""
        if self._thread.ident is None:
            self._thread.start()

    def log(self, metrics: Mapping[str, float], name: str, step: int | None) -> None:
        """Show metrics, flat and with their full names, at ``step`` of ``name``."""
        self._events.put((metrics, name, step))

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Add to the config shown with the run."""
        self._events.put(dict(config))

    def close(self) -> None:
        """Send the remaining metrics and finish the run, within a time limit."""
        if self._thread.ident is None:
            return
        self._events.put(None)
        self._thread.join(2 * self._settings.timeout_s + _SPARE_S)
        if self._thread.is_alive():
            log.warning("wandb did not end in time; metrics.jsonl is complete")

    def _work(self) -> None:
        try:
            run = self._start()
            while (event := self._events.get()) is not None:
                if isinstance(event, dict):
                    run.config.update(event, allow_val_change=True)
                else:
                    self._log(run, *event)
            run.finish()
        except (Exception, SystemExit) as error:
            log.warning(
                "wandb is off from here on, metrics.jsonl goes on: %s: %s",
                type(error).__name__,
                error,
            )

    def _start(self) -> Any:
        # Read at import. Otherwise wandb reports errors to its makers, and waits for the network.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = self._settings
        # The banners of logging in do not follow the settings of a run.
        wandb.setup(wandb.Settings(silent=True))
        needs_login = settings.mode == "online" and not settings.api_key
        if needs_login and not wandb.login(prompt=False):
            raise RuntimeError("no key: set WANDB_API_KEY or run `wandb login`")
        # Without this folder wandb writes into /tmp.
        (self._run_dir / "wandb").mkdir(parents=True, exist_ok=True)
        return wandb.init(
            dir=str(self._run_dir),
            name=self._run_name,
            mode=settings.mode,
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            tags=list(settings.tags) or None,
            config=self._config,
            reinit="create_new",
            settings=wandb.Settings(
                # For this run only; wandb.login(key) would write the key to ~/.netrc.
                api_key=settings.api_key,
                silent=True,
                console="off",
                init_timeout=settings.timeout_s,
                finish_timeout=settings.timeout_s,
                finish_timeout_raises=True,
                x_disable_stats=not settings.system_metrics,
                # Reading the metadata of all packages took 0.1 CPU-seconds per run.
                x_save_requirements=False,
                disable_git=True,
                save_code=False,
            ),
        )

    def _log(self, run: Any, metrics: Mapping[str, float], name: str, step: int | None) -> None:
        if step is None:
            run.log(dict(metrics))
            return
        step_name = f"{name.replace('.', '/')}/step" if name else "step"
        if step_name not in self._defined:
            run.define_metric(step_name, hidden=True)
        for metric in metrics.keys() - self._defined:
            run.define_metric(metric.replace(".", "\\."), step_metric=step_name)
        self._defined |= {step_name, *metrics}
        run.log({**metrics, step_name: step})


def has_key() -> bool:
    """Return True if wandb may find a key in the places where its ``sdk/lib/wbauth`` looks."""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    for path in (folder / "settings", Path("wandb/settings")):
        # A server of the user's own may need no key.
        if path.is_file() and re.search(r"^\s*(api_key|base_url)\b", path.read_text(), re.M):
            return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    netrc = os.environ.get("NETRC")
    paths = [Path(netrc or name).expanduser() for name in ("~/.netrc", "~/_netrc")]
    return any(path.is_file() and str(host) in path.read_text().split() for path in paths)
