"""One run: compose, plan, iterate, return the objective."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sandbox import components
from sandbox.context import BEGAN, Context, register_resolvers
from sandbox.frame import texts
from sandbox.job import JobFailed, numbers
from sandbox.plan import Plan, PlanError, plan
from sandbox.spec import resolved
from sandbox.sweep_trial import as_trial

log = logging.getLogger(__name__)

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
CONF = Path(__file__).parents[1] / "conf"
register_resolvers()  # here, because a launcher may import this module in a process of its own
ALLOWED = components.allowed_targets()
"""Read before any config is: ``hydra.job.env_set`` of an experiment comes later and changes nothing."""
CONFIG_PATH = str(CONF) if (CONF / "config.yaml").is_file() else "pkg://sandbox.conf"


def run(
    cfg: DictConfig,
    run_dir: Path,
    allowed: tuple[str, ...] | None = None,
    forced_since: float | None = None,
) -> float | list[float] | None:
    """Run the experiment ``cfg`` in ``run_dir``; returns its objective, a list where it names several.

    Args:
        cfg: The composed config.
        run_dir: Folder of this run.
        allowed: Patterns of allowed targets; ``None`` reads what the environment allows now.
        forced_since: Records of forced jobs made before this time do not count; ``None`` is now.

    Raises:
        PlanError: The config is wrong; nothing was started.
        JobFailed: A job failed; what finished is recorded.
    """
    from sandbox.dry_run import env_lines, show
    from sandbox.pipeline import Pipeline
    from sandbox.store import JobStore

    allowed = components.allowed_targets() if allowed is None else allowed
    checked = plan(cfg, allowed)
    store = JobStore(Path(cfg.store_dir))
    _check_store(store.root, to_write=not cfg.dry_run)
    if cfg.dry_run:
        try:
            show(checked, store, allowed, texts(cfg.force))
        except BrokenPipeError:  # nobody reads on
            raise
        except (ValueError, LookupError, OSError) as error:  # a recorded output is not what its reader takes
            raise JobFailed(str(error)) from error
        return None
    for line in env_lines(checked, allowed):
        log.info("%s", line)
    watcher = components.build(resolved(cfg, "watcher", allowed), allowed)
    with watcher.open(run_dir, run_name=f"{cfg.experiment_name}/{run_dir.name}"):
        watcher.watch_cfgs(OmegaConf.to_container(cfg, resolve=False))
        compute = resolved(cfg, "compute", allowed)
        pipeline = Pipeline(
            checked.jobs, store, watcher, run_dir, compute, allowed, texts(cfg.force), forced_since
        )
        try:
            _iterate(cfg.max_iterations, checked, pipeline)
            values = _objective(checked, pipeline.context)
        except (ValueError, LookupError) as error:  # a target or the objective is not a number
            raise JobFailed(str(error)) from error
        finally:
            pipeline.close()
        if values:
            watcher.watch(numbers({"objective": values[0] if len(values) == 1 else values}))
    _summarise(run_dir, checked, pipeline.context, values)
    return None if not values else values[0] if len(values) == 1 else values


def _check_store(root: Path, to_write: bool) -> None:
    """Raises PlanError: the store is no folder, or cannot be written."""
    try:
        there = next(path for path in (root, *root.parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file, expected a folder")
        if to_write:
            root.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=root):
                pass
    except OSError as error:
        raise PlanError([f"store_dir: {error}"]) from error


def _iterate(max_iterations: int, checked: Plan, pipeline: Any) -> None:
    for iteration in range(1, max_iterations + 1):
        if max_iterations > 1:
            log.info("iteration %d of at most %d", iteration, max_iterations)
        pipeline.run(iteration)
        met = []
        for target in checked.targets:
            lower = checked.lower_is_better(target.scalar)
            value, done = target.scalar.value(pipeline.context, lower), target.met(pipeline.context, lower)
            met.append(done)
            log.info(
                "target %s %s %g: %s (%.4g)",
                target.scalar.text,
                target.comparison,
                target.threshold,
                "met" if done else "not met",
                value,
            )
        if met and (any(met) if checked.any_target else all(met)):
            log.info("targets met after iteration %d", iteration)
            return


def _objective(checked: Plan, context: Context) -> list[float]:
    return [scalar.value(context, checked.lower_is_better(scalar)) for scalar in checked.objective]


def _summarise(run_dir: Path, checked: Plan, context: Context, objective: list[float]) -> None:
    for spec in checked.jobs:
        summary = context.results[context.iteration, spec.name].get("summary")
        for line in summary if isinstance(summary, list) else [summary] if summary else []:
            log.info("%s: %s", spec.name, line)
    for scalar, value in zip(checked.objective, objective, strict=True):
        log.info("objective %s = %.6g", scalar.text, value)
    log.info("done; everything about this run: %s", run_dir)


@hydra.main(
    config_path=CONFIG_PATH,
    config_name="config",
    execution_whitelist=[*ALLOWED, "hydra.*", "hydra_plugins.*", "logging.*"],
)
def main(cfg: DictConfig) -> float | list[float] | None:
    """The task that Hydra runs, once or once a trial."""
    if threading.current_thread() is threading.main_thread():  # a launcher may run trials in threads
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
        raise PlanError([f"objective: none is given, and {hydra_cfg.sweeper._target_} needs one; {known}"])
    value = run(cfg, run_dir, ALLOWED, _forced_since(Path(hydra_cfg.sweep.dir)) if cfg.get("force") else None)
    for text, number in zip(
        texts(cfg.objective), value if isinstance(value, list) else [value], strict=False
    ):
        if number is not None and math.isnan(number):
            raise JobFailed(f"the objective {text} is nan: this trial has failed")
    return value


def forced_marker(sweep_dir: Path) -> Path:
    """The file whose time says since when what a sweep forces has to be done."""
    return sweep_dir / ".forced"


def _forced_since(sweep_dir: Path) -> float:
    """When the first trial of this sweep began: what is forced runs once a sweep, not once a trial."""
    marker = forced_marker(sweep_dir)
    with contextlib.suppress(FileExistsError):
        marker.touch(exist_ok=False)
    return marker.stat().st_mtime


STARTED: list[Path] = []
"""Folders of the runs that this process has started: tells a mistake in the command from a failed run."""


def _remove_unused(run_dir: Path) -> None:
    """Remove the folder of a run that did nothing: what Hydra wrote, if that is all and the folder ours."""
    if run_dir.name == BEGAN and {path.name for path in run_dir.iterdir()} <= {".hydra", "sandbox.log"}:
        shutil.rmtree(run_dir, ignore_errors=True)


def _scrub(run_dir: Path) -> None:
    """Remove what Hydra wrote, before it called us, of a config that gives a secret as a literal."""
    shutil.rmtree(run_dir / ".hydra", ignore_errors=True)
    for path in (run_dir / "multirun.yaml", run_dir.parent / "multirun.yaml"):
        path.unlink(missing_ok=True)


def experiments() -> Mapping[str, str]:
    """Experiments by name, with the question that each answers: the first comment line of its file."""
    found: dict[str, str] = {}
    folders = (
        [CONF, Path.cwd() / "conf"]
        if CONF.is_dir()
        else [Path(__file__).parent / "conf", Path.cwd() / "conf"]
    )
    for folder in folders:
        for path in sorted((folder / "experiment").glob("*.yaml")):
            lines = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
            found.setdefault(path.stem, next((line for line in lines if not line.startswith("@")), ""))
    return found


def list_experiments() -> None:
    """What ``python -m sandbox`` alone prints."""
    names = experiments()
    width = max(map(len, names), default=0)
    print("Choose an experiment:\n")
    for name, question in names.items():
        print(f"  python -m sandbox +experiment={name:<{width}}  {question}")
    print("\nAdd +debug=smoke to run it small, dry_run=true to see what would run and why, --help for more.")
