"""One run: plan, iterate, return the objective."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sandbox.components.allowed import allowed_targets
from sandbox.components.build import build
from sandbox.job import JobFailed, numbers
from sandbox.planning.job_config import resolved
from sandbox.planning.plan import Plan, PlanError, plan
from sandbox.planning.settings import texts
from sandbox.running.context import Context

log = logging.getLogger(__name__)

STARTED: list[Path] = []
"""Folders of the runs that this process has started: tells a mistake in the command from a failed run."""


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
    from sandbox.running.explain import env_lines, show
    from sandbox.running.pipeline import Pipeline
    from sandbox.store.records import JobStore

    allowed = allowed_targets() if allowed is None else allowed
    checked = plan(cfg, allowed)
    store = JobStore(Path(cfg.store_dir))
    _check_store(store.root, to_write=not cfg.dry_run)
    if cfg.dry_run:
        try:
            compute = resolved(cfg, "compute", allowed)
            show(checked, store, allowed, texts(cfg.force), compute)
        except BrokenPipeError:  # nobody reads on
            raise
        except (
            ValueError,
            LookupError,
            OSError,
        ) as error:  # a recorded output is not what its reader takes
            raise JobFailed(str(error)) from error
        return None
    for line in env_lines(checked, allowed):
        log.info("%s", line)
    watcher = build(resolved(cfg, "watcher", allowed), allowed)
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
            value, done = (
                target.scalar.value(pipeline.context, lower),
                target.met(pipeline.context, lower),
            )
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


def forced_marker(sweep_dir: Path) -> Path:
    """The file whose time says since when what a sweep forces has to be done."""
    return sweep_dir / ".forced"


def forced_since(sweep_dir: Path) -> float:
    """When the first trial of this sweep began: what is forced runs once a sweep, not once a trial."""
    marker = forced_marker(sweep_dir)
    with contextlib.suppress(FileExistsError):
        marker.touch(exist_ok=False)
    return marker.stat().st_mtime
