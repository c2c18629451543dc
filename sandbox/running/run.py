"""One run: plan, iterate, return the objective."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.allowed import allowed_targets
from sandbox.components.permissions import as_used, with_outputs_dir
from sandbox.components.problem import PlanError, Problem
from sandbox.job import JobFailed, numbers
from sandbox.planning.job_config import resolved
from sandbox.planning.objective import Scalar, Target
from sandbox.planning.plan import Plan, plan
from sandbox.planning.settings import texts, unresolved
from sandbox.system.files import fault_text, is_fault, named, obstacle

if TYPE_CHECKING:
    from sandbox.running.context import Context
    from sandbox.running.forced import Forced
    from sandbox.running.pipeline import Pipeline
    from sandbox.store.records import JobStore

log = logging.getLogger(__name__)

STARTED: list[Path] = []
"""Folders of the runs that this process has started; an error before is the command's."""


def run(
    cfg: DictConfig,
    run_dir: Path,
    allowed: tuple[str, ...] | None = None,
    forced: Forced | None = None,
    used: Sequence[Problem] = (),
) -> float | list[float] | None:
    """Run an experiment; return its objective, a list where it names several.

    Args:
        cfg: The composed config.
        run_dir: Folder of this run.
        allowed: Patterns of allowed targets; ``None`` reads what the environment allows now.
        forced: What the sweep of this run forces; ``None``: this run forces what is recorded now.
        used: Permissions that Hydra's part of the config uses; a dry run lists them.

    Raises:
        PlanError: The config is wrong; nothing was started.
        JobFailed: A job failed; what finished is recorded.
    """
    allowed = allowed_targets() if allowed is None else allowed
    with contextlib.suppress(OmegaConfBaseException):  # reported by the plan
        allowed = with_outputs_dir(allowed, str(cfg.outputs_dir))
    checked = plan(cfg, allowed)
    _check_store(Path(cfg.store_dir).absolute(), to_write=not cfg.dry_run)
    # Here, because a mistake found in the plan needs none of it.
    from sandbox.running.doors import used_permissions
    from sandbox.running.explain import env_lines, remark_lines
    from sandbox.running.forced import recorded_now
    from sandbox.store.records import JobStore

    store = JobStore(Path(cfg.store_dir))
    if cfg.dry_run:
        compute = resolved(cfg, "compute", allowed)
        _explain(checked, store, allowed, texts(cfg.force), compute)
        frame = {"compute": compute, "watcher": resolved(cfg, "watcher", allowed)}
        _print_permissions([*used, *used_permissions(checked, frame, allowed)])
        return None
    for line in (*remark_lines(checked, allowed), *env_lines(checked, allowed)):
        log.info("%s", line)
    try:
        forced = recorded_now(store, texts(cfg.force)) if forced is None else forced
        values = _run(cfg, run_dir, checked, store, allowed, forced)
    except BrokenPipeError:  # the reader of the output has left
        raise
    except OSError as error:  # a full disk, say: whatever is not the work of an element
        raise JobFailed(f"the run cannot go on: {fault_text(error)}") from error
    if not values:
        return None
    return values if len(values) > 1 else values[0]


def _run(
    cfg: DictConfig,
    run_dir: Path,
    checked: Plan,
    store: JobStore,
    allowed: tuple[str, ...],
    forced: Forced,
) -> list[float]:
    """Run a checked experiment and return its objectives."""
    from sandbox.components.build import build
    from sandbox.running.pipeline import Pipeline

    settings = build(resolved(cfg, "watcher", allowed), allowed)
    run_name = f"{cfg.experiment_name}/{run_dir.name}"
    with settings.open(run_dir, run_name=run_name, is_new=False) as watcher:
        if settings.mode != "disabled":
            watcher.watch_cfgs(unresolved(cfg))
        compute = resolved(cfg, "compute", allowed)
        pipeline = Pipeline(checked.jobs, store, watcher, run_dir, compute, allowed, forced)
        try:
            _iterate(cfg.max_iterations, checked, pipeline)
            pipeline.folder.check()
            values = [_value(scalar, checked, pipeline.context) for scalar in checked.objective]
        except (ValueError, LookupError) as error:  # a target or the objective is not a number
            raise JobFailed(str(error)) from error
        finally:
            pipeline.close()
        if values:
            watcher.watch(numbers({"objective": values if len(values) > 1 else values[0]}))
    _summarise(run_dir, checked, pipeline, values)
    return values


def _explain(
    checked: Plan,
    store: JobStore,
    allowed: tuple[str, ...],
    force: Sequence[str],
    compute: Mapping[str, Any],
) -> None:
    from sandbox.running.explain import show

    try:
        show(checked, store, allowed, force, compute)
    except BrokenPipeError:  # the reader of the output has left
        raise
    except (ValueError, LookupError, OSError) as error:  # a recorded output does not fit its reader
        raise JobFailed(str(error)) from error


def _print_permissions(used: Sequence[Problem]) -> None:
    if used:
        print("with your permission")
    for problem in used:
        print(f"  {as_used(problem)}")


def _check_store(root: Path, to_write: bool) -> None:
    """Check that the store is a folder, and can be written where that is needed.

    Raises:
        PlanError: It is not, or cannot.
        JobFailed: The disk is full or faulty.
    """
    reason = obstacle(root, to_write=to_write)
    if to_write and not reason:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with named(root), TemporaryFile(dir=root, buffering=0) as file:
                file.write(bytes(4096))  # a full disk is found only by writing
        except OSError as error:
            if is_fault(error):
                raise JobFailed(f"the store cannot be written: {fault_text(error)}") from error
            reason = fault_text(error)
    if reason:
        raise PlanError([Problem("store_dir", "store", reason)])


def _iterate(max_iterations: int, checked: Plan, pipeline: Pipeline) -> None:
    for iteration in range(1, max_iterations + 1):
        if max_iterations > 1:
            log.info("iteration %d of at most %d", iteration, max_iterations)
        pipeline.run(iteration)
        met = [_is_met(target, checked, pipeline.context) for target in checked.targets]
        is_enough = any(met) if checked.any_target else all(met)
        if met and is_enough:
            log.info("targets met after iteration %d", iteration)
            return


def _is_met(target: Target, checked: Plan, context: Context) -> bool:
    value = _value(target.scalar, checked, context)
    is_met = target.met(context.lookup, checked.lower_is_better(target.scalar))
    goal = f"{target.scalar.text} {target.comparison} {target.threshold:g}"
    log.info("target %s: %s (%.4g)", goal, "met" if is_met else "not met", value)
    return is_met


def _value(scalar: Scalar, checked: Plan, context: Context) -> float:
    return scalar.value(context.lookup, checked.lower_is_better(scalar))


def _summarise(run_dir: Path, checked: Plan, pipeline: Pipeline, objective: list[float]) -> None:
    """Log what jobs summarise of themselves, the costs, the objective and the run's folder."""
    from sandbox.running.costs import cost_lines

    context = pipeline.context
    for spec in checked.jobs:
        summary = context.results[context.iteration, spec.name].get("summary") or []
        for line in summary if isinstance(summary, list) else [summary]:
            log.info("%s: %s", spec.name, line)
    for line in cost_lines(pipeline.ran, pipeline.reused):
        log.info("%s", line)
    for scalar, value in zip(checked.objective, objective, strict=True):
        log.info("objective %s = %.6g", scalar.text, value)
    log.info("done; everything about this run: %s", run_dir)
