"""Watchers record and show the metrics of a run. This module holds the family's one member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sandbox.job import PositiveFloat, Secret
from sandbox.watchers import wandb_sink
from sandbox.watchers.open_watcher import OpenWatcher


@dataclass(frozen=True, kw_only=True)
class SandboxWatcher:
    """Record the metrics of a run in ``metrics.jsonl`` and show them on Weights & Biases.

    These are the settings; :meth:`open` returns the watcher of one run, with ``watch_cfgs``,
    ``watch`` and ``query``. The file is written first and is complete whatever happens to wandb.
    Wandb starts in a thread of its own at the first metric; its first failure is logged and ends
    wandb, never the run.

    Args:
        mode: ``offline`` keeps wandb's files under the run's folder (``wandb sync`` uploads them
            later), none for a run in which every job was recorded; ``online`` sends them in any
            case, ``disabled`` does without wandb.
        project: Wandb project.
        entity: Wandb user or team; ``None`` takes the account's default.
        group: Wandb group; ``None`` is no group.
        tags: Wandb tags.
        api_key: Wandb key, only as ``${oc.env:WANDB_API_KEY}``; passed to wandb and written
            nowhere. ``None`` takes the key that wandb itself finds.
        system_metrics: Also record CPU, memory and GPU use on wandb.
        timeout_s: Time limit for wandb's start, and another one for its end.

    Source: Data-Juicer Sandbox guide, SandboxWatcher; unlike it, wandb is optional and offline,
    runs are finished, and ``query`` reads our own file.
    """

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "sandbox"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    api_key: Secret | None = field(default=None, repr=False)
    system_metrics: bool = False
    timeout_s: PositiveFloat = 30.0

    def check(self) -> None:
        """Check that wandb finds a key if it needs one.

        Raises:
            ValueError: It does not.
        """
        if self.mode == "online" and not self.api_key and not wandb_sink.has_key():
            raise ValueError(
                "mode is online and there is no key: set WANDB_API_KEY or run `wandb login`"
            )

    def open(self, run_dir: Path, run_name: str = "", *, is_new: bool = True) -> OpenWatcher:
        """Open the run in ``run_dir``: its recorded metrics can be queried, new ones are appended.

        Nothing is written before the first metric.

        Args:
            run_dir: Folder of the run.
            run_name: Name shown on wandb; without one that of the folder.
            is_new: False if metrics may all come from records: ``offline`` then writes wandb's
                files only after :meth:`OpenWatcher.begin`.
        """
        return OpenWatcher(self, run_dir, run_name or run_dir.name, is_new)
