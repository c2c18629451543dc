"""The task that Hydra runs, once or once a trial."""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import hydra.utils
from hydra.core import utils as hydra_utils
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sandbox.cli.config_loader import PATTERNS, USED, checked_configs
from sandbox.components.allowed import ALLOWED, reach_working_directory
from sandbox.components.permissions import HYDRA_CLASSES, LOGGING_CLASSES, SEARCH_CLASSES
from sandbox.components.problem import PlanError, Problem
from sandbox.hydra_search_path import CONFIG_PATH
from sandbox.job import JobFailed
from sandbox.planning.resolvers import BEGAN, register_resolvers
from sandbox.planning.settings import texts
from sandbox.running.run import STARTED, run
from sandbox.system.files import named

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
# OmegaConf reads 10,000 values of a file at most, which are 1,000 jobs; what it checks besides, how
# far aliases multiply a file, stays.
os.environ.setdefault("OMEGACONF_MAX_YAML_EXPANDED_NODES", "1000000")
# Here, because a launcher may import this module in a process of its own.
register_resolvers()
reach_working_directory()


def _whitelist() -> Any:
    """Return the class paths that Hydra may build, in its own grammar.

    Every class path was compared with ours before. Hydra knows no other patterns than ``package.*``
    and refuses to start with one.
    """
    if any("*" in pattern.removesuffix(".*") for pattern in PATTERNS):
        return hydra.utils.UNSAFE_DISABLE_EXECUTION_CHECKS
    return [*HYDRA_CLASSES, *SEARCH_CLASSES, *LOGGING_CLASSES, *PATTERNS]


@hydra.main(config_path=CONFIG_PATH, config_name="config", execution_whitelist=_whitelist())
def _experiment(cfg: DictConfig) -> float | list[float] | None:
    """Run the experiment, or one trial of a sweep, and return its objective."""
    _interrupt_on_signals()
    hydra_cfg = HydraConfig.get()
    run_dir = Path(hydra_cfg.runtime.output_dir)
    STARTED.append(run_dir)
    is_multirun = hydra_cfg.mode == RunMode.MULTIRUN
    is_unused = cfg.get("dry_run") is True
    try:
        if is_multirun and not is_unused:
            from sandbox.running.trial import as_trial

            return as_trial(run_dir, lambda: _trial(cfg, hydra_cfg, run_dir))
        return run(cfg, run_dir, ALLOWED, used=USED)
    except (PlanError, JobFailed, BrokenPipeError) as error:
        if isinstance(error, PlanError):
            is_unused = True
        if is_multirun:
            raise  # the sweep decides what becomes of it
        # Hydra would repeat the whole command, secrets included, before it passed the error on.
        raise SystemExit(error) from error
    finally:
        if is_unused and not is_multirun:
            _remove_unused(run_dir, str(hydra_cfg.output_subdir))


def main() -> None:
    """Run Hydra on the command line, with configs checked before Hydra uses them."""
    with checked_configs(), _named_files():
        _experiment()


@contextmanager
def _named_files() -> Iterator[None]:
    """Let errors of writing ``.hydra/`` name the file, as those of our own files do."""
    utils: Any = hydra_utils
    save = utils._save_config

    def named_save(cfg: DictConfig, filename: str, output_dir: Path) -> None:
        with named(output_dir / filename):
            save(cfg, filename, output_dir)

    utils._save_config = named_save
    try:
        yield
    finally:
        utils._save_config = save


def _interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt the run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        return  # a launcher may run trials in threads
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _trial(cfg: DictConfig, hydra_cfg: Any, run_dir: Path) -> float | list[float] | None:
    """Run one trial of a sweep.

    Raises:
        PlanError: The sweeper needs an objective and there is none.
        JobFailed: The objective is not a number.
    """
    if hydra_cfg.sweeper._target_ != _GRID and not texts(cfg.get("objective")):
        text = f"none is given, and {hydra_cfg.sweeper._target_} needs one"
        hint = "objective=job.output, or several: objective=[job.output, job.other]"
        raise PlanError([Problem("objective", "setting", text, hint)])
    from sandbox.running.forced import forced_by_sweep

    forced = forced_by_sweep(Path(hydra_cfg.sweep.dir), cfg) if cfg.get("force") else None
    value = run(cfg, run_dir, ALLOWED, forced)
    numbers = value if isinstance(value, list) else [value]
    for text, number in zip(texts(cfg.objective), numbers, strict=False):
        if number is not None and math.isnan(number):
            raise JobFailed(f"the objective {text} is nan: this trial has failed")
    return value


def _remove_unused(run_dir: Path, hydras_folder: str) -> None:
    """Remove the folder of a run that did nothing, if it is ours and holds only Hydra's files."""
    files = {path.name for path in run_dir.iterdir()} if run_dir.is_dir() else set()
    if run_dir.name == BEGAN and files <= {hydras_folder, "sandbox.log"}:
        shutil.rmtree(run_dir, ignore_errors=True)
