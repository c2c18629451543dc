"""One run: compose, plan, iterate, return the objective."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.components.allowed import ALLOWED
from sandbox.hydra_search_path import CONFIG_PATH
from sandbox.job import JobFailed
from sandbox.planning.plan import PlanError
from sandbox.planning.resolvers import BEGAN, register_resolvers
from sandbox.planning.settings import texts
from sandbox.running.run import STARTED, forced_since, run
from sandbox.running.trial import as_trial

log = logging.getLogger(__name__)

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
register_resolvers()  # here, because a launcher may import this module in a process of its own


@hydra.main(
    config_path=CONFIG_PATH,
    config_name="config",
    execution_whitelist=[*ALLOWED, "hydra.*", "hydra_plugins.*", "logging.*"],
)
def main(cfg: DictConfig) -> float | list[float] | None:
    """The task that Hydra runs, once or once a trial."""
    if (
        threading.current_thread() is threading.main_thread()
    ):  # a launcher may run trials in threads
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # which nohup ignores
            signal.signal(signal.SIGHUP, signal.default_int_handler)
    hydra_cfg = HydraConfig.get()
    if hydra_cfg.job.chdir:
        raise PlanError(
            ["hydra.job.chdir: must be false; paths and the store are found from where you start"]
        )
    run_dir = Path(hydra_cfg.runtime.output_dir)
    STARTED.append(run_dir)
    is_unused = cfg.get("dry_run") is True
    try:
        if hydra_cfg.mode == RunMode.MULTIRUN and not is_unused:
            return as_trial(run_dir, lambda: _trial(cfg, hydra_cfg, run_dir))
        return run(cfg, run_dir, ALLOWED)
    except (PlanError, JobFailed, BrokenPipeError) as error:
        if isinstance(error, PlanError):
            is_unused = True
            if error.has_literal_secret:
                _scrub(run_dir)
        if hydra_cfg.mode == RunMode.MULTIRUN:
            raise  # the sweep's to judge
        # Hydra would repeat the whole command, secrets included, before it passed the error on.
        raise SystemExit(error) from error
    finally:
        if is_unused and hydra_cfg.mode == RunMode.RUN:
            _remove_unused(run_dir)


def _trial(cfg: DictConfig, hydra_cfg: Any, run_dir: Path) -> float | list[float] | None:
    """One trial of a sweep; fails where the sweep cannot use what it returns."""
    if hydra_cfg.sweeper._target_ != _GRID and not texts(cfg.get("objective")):
        known = "objective=job.output, or several: objective=[job.output, job.other]"
        raise PlanError(
            [f"objective: none is given, and {hydra_cfg.sweeper._target_} needs one; {known}"]
        )
    value = run(
        cfg, run_dir, ALLOWED, forced_since(Path(hydra_cfg.sweep.dir)) if cfg.get("force") else None
    )
    for text, number in zip(
        texts(cfg.objective), value if isinstance(value, list) else [value], strict=False
    ):
        if number is not None and math.isnan(number):
            raise JobFailed(f"the objective {text} is nan: this trial has failed")
    return value


def _remove_unused(run_dir: Path) -> None:
    """Remove the folder of a run that did nothing: what Hydra wrote, if that is all and the folder ours."""
    if run_dir.name == BEGAN and {path.name for path in run_dir.iterdir()} <= {
        ".hydra",
        "sandbox.log",
    }:
        shutil.rmtree(run_dir, ignore_errors=True)


def _scrub(run_dir: Path) -> None:
    """Remove what Hydra wrote, before it called us, of a config that gives a secret as a literal."""
    shutil.rmtree(run_dir / ".hydra", ignore_errors=True)
    for path in (run_dir / "multirun.yaml", run_dir.parent / "multirun.yaml"):
        path.unlink(missing_ok=True)
