"""Weights & Biases as a place where metrics are shown, which may be slow, broken or absent."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

_LOG = logging.getLogger(__name__)
_SPARE_S = 5.0

Event = tuple[dict[str, float], str, int | None]


class WandbSink:
    """One wandb run, driven from a thread of its own, so that nothing in it can hold or fail ours.

    A step is given as a metric of its own, ``<name>/step``: every job counts from its own 0, while
    wandb's built-in step only grows. Metric names keep their dots, which wandb reads as nesting
    unless they are escaped.

    Args:
        run_dir: Folder of the run; wandb's files go into ``wandb`` there.
        run_name: Name shown for the run.
        mode: ``offline`` or ``online``.
        project: Wandb project.
        entity: User or team.
        group: Group of runs.
        tags: Tags of the run.
        api_key: Key that is used and not stored.
        system_metrics: Whether CPU, memory and GPU use is recorded.
        timeout_s: Limit for starting and for ending wandb, each.
        config: Config shown with the run.
    """

    def __init__(
        self,
        run_dir: Path,
        run_name: str,
        *,
        mode: Literal["offline", "online", "disabled"],
        project: str,
        entity: str | None,
        group: str | None,
        tags: Sequence[str],
        api_key: str | None,
        system_metrics: bool,
        timeout_s: float,
        config: Mapping[str, Any],
    ) -> None:
        self._dir = run_dir / "wandb"
        self._arguments: dict[str, Any] = {
            "dir": str(run_dir),
            "name": run_name,
            "mode": mode,
            "project": project,
            "entity": entity,
            "group": group,
            "tags": list(tags) or None,
            "config": dict(config),
            "reinit": "create_new",
        }
        self._api_key = api_key
        self._system_metrics = system_metrics
        self._timeout_s = timeout_s
        self._events: queue.SimpleQueue[Event | dict[str, Any] | None] = queue.SimpleQueue()
        self._defined: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="wandb sink", daemon=True)
        self._thread.start()

    def log(self, metrics: dict[str, float], name: str, step: int | None) -> None:
        """Show metrics, flat and with their full names, at ``step`` of ``name``."""
        self._events.put((metrics, name, step))

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Add to the config shown with the run."""
        self._events.put(dict(config))

    def close(self) -> None:
        """Show what is left and finish the run; gives up after the time allowed."""
        self._events.put(None)
        self._thread.join(2 * self._timeout_s + _SPARE_S)
        if self._thread.is_alive():
            _LOG.warning("wandb did not end in time; metrics.jsonl is complete")

    def _work(self) -> None:
        """Start wandb, hand it the events, finish it; the first failure is logged and is the last."""
        try:
            run = self._start()
            while (event := self._events.get()) is not None:
                if isinstance(event, dict):
                    run.config.update(event, allow_val_change=True)
                else:
                    self._log(run, *event)
            run.finish()
        except (Exception, SystemExit) as error:
            _LOG.warning(
                "wandb is off from here on, metrics.jsonl goes on: %s: %s",
                type(error).__name__,
                error,
            )

    def _start(self) -> Any:
        # read at import; else wandb calls home about itself, without a network too, and waits for that
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        wandb.setup(
            wandb.Settings(silent=True)
        )  # logging in has banners that the run's settings miss
        if (
            self._arguments["mode"] == "online"
            and not self._api_key
            and not wandb.login(prompt=False)
        ):
            raise RuntimeError("no key: set WANDB_API_KEY or run `wandb login`")
        settings = wandb.Settings(
            api_key=self._api_key,  # used for this run only; wandb.login(key) would write it to ~/.netrc
            silent=True,
            console="off",
            init_timeout=self._timeout_s,
            finish_timeout=self._timeout_s,
            finish_timeout_raises=True,
            x_disable_stats=not self._system_metrics,
            x_save_requirements=False,  # reading every package's metadata took 0.1 CPU-s of each run
            disable_git=True,
            save_code=False,
        )
        self._dir.mkdir(parents=True, exist_ok=True)  # else wandb takes /tmp
        return wandb.init(**self._arguments, settings=settings)

    def _log(self, run: Any, metrics: dict[str, float], name: str, step: int | None) -> None:
        if step is None:
            run.log(metrics)
            return
        step_name = f"{name.replace('.', '/')}/step" if name else "step"
        if step_name not in self._defined:
            run.define_metric(step_name, hidden=True)
        for metric in metrics.keys() - self._defined:
            run.define_metric(metric.replace(".", "\\."), step_metric=step_name)
        self._defined |= {step_name, *metrics}
        run.log({**metrics, step_name: step})
