"""One sweep: check all of it, then drive it to its end."""

from __future__ import annotations

import dataclasses
import functools
import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.allowed import ALLOWED, TargetError, locate_function
from sandbox.components.problem import PlanError, Problem
from sandbox.job import JobFailed
from sandbox.planning.plan import plan
from sandbox.planning.settings import texts
from sandbox.running.forced import begin_forcing
from sandbox.running.run import STARTED, run
from sandbox.sweeper.config import OptunaAsyncConf
from sandbox.sweeper.driver import Driver
from sandbox.sweeper.launching import is_slurm, is_submitit
from sandbox.sweeper.options import Settings, option_problem, read_settings
from sandbox.sweeper.results import Sweep, best_trials, last_lines, write_results
from sandbox.sweeper.samplers import build, is_grid, sampler_for, try_sampler
from sandbox.sweeper.space import SearchSpace, read_space
from sandbox.sweeper.study import check_same, locked, open_storage, question
from sandbox.system.files import fault_text, is_fault
from sandbox.system.signals import sigterm_interrupts

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)


def sweep(
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    arguments: list[str],
) -> None:
    """Check and drive a sweep.

    Args:
        config: The composed config, with Hydra's own part.
        hydra_context: Hydra's.
        task_function: The task of every trial.
        arguments: Overrides of the command line, sweeps among them.

    Raises:
        PlanError: It cannot be done as asked; nothing was submitted, no study was changed.
        JobFailed: More trials failed than allowed, or none was completed.
    """
    options = _options(config)
    settings = read_settings(options)
    space = _space(options, arguments)
    settings = _with_functions(settings, options, space, config)
    points = _checked_points(space, settings, config, hydra_context)
    try_sampler(options.sampler, space, settings.directions)
    if points[0].dry_run:
        _show(points)
        return
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=hydra_context, task_function=task_function
    )
    _check_launcher(launcher, settings)
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    study = _open_study(options, settings, space, points[0], folder)
    if points[0].force:  # forced jobs run once more for each driver, not for each trial
        begin_forcing(folder, points[0])
    STARTED.append(folder)
    log.info("study %s: %s", study.study_name, folder)
    watcher_overrides = _watcher_overrides(points[0], study.study_name)
    _drive(Sweep(study, space, settings, folder, watcher_overrides), launcher)


def _options(config: DictConfig) -> OptunaAsyncConf:
    options: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    names = {field.name for field in dataclasses.fields(OptunaAsyncConf)}
    return OptunaAsyncConf(**{name: options[name] for name in names & options.keys()})


def _space(options: OptunaAsyncConf, arguments: Sequence[str]) -> SearchSpace:
    space = read_space(options.params or {}, arguments, options.zip or [])
    if not space.distributions and options.custom_search_space is None:
        hint = "give hydra.sweeper.params, or sweeps on the command line"
        raise PlanError([Problem("search space", "sweep", "is empty", hint)])
    return space


def _with_functions(
    settings: Settings, options: OptunaAsyncConf, space: SearchSpace, config: DictConfig
) -> Settings:
    """Complete the settings by a function of the user's, and by the size of a grid."""
    target = options.custom_search_space
    if target is not None:
        try:
            function = functools.partial(locate_function(target, ALLOWED), config)
        except TargetError as error:
            raise PlanError([option_problem("custom_search_space", str(error))]) from error
        settings = dataclasses.replace(settings, custom_search_space=function)
    if not is_grid(options.sampler):
        return settings
    size = 1
    for values in space.grid().values():
        size *= len(values)
    return dataclasses.replace(settings, n_trials=min(settings.n_trials, size), is_grid=True)


def _checked_points(
    space: SearchSpace, settings: Settings, config: DictConfig, hydra_context: HydraContext
) -> list[DictConfig]:
    """Return the configs at two ends of the search space, checked by the plan.

    Raises:
        PlanError: A key is not in the config, a run with such values could not start, or the
            objectives and the directions are not as many.
    """
    points = []
    seed = next(iter(settings.seeds), None)
    for params in space.corners():
        given = [*space.fixed, *space.overrides(params), *settings.seed_overrides(seed)]
        try:
            cfg = hydra_context.config_loader.load_sweep_config(config, given)
            with open_dict(cfg):
                del cfg["hydra"]
            plan(cfg, ALLOWED)
        except (HydraException, OmegaConfBaseException) as error:
            text = f"{error}\n{error.__cause__ or ''}".strip()
            raise PlanError([Problem("search space", "sweep", text)]) from error
        points.append(cfg)
    objectives = texts(points[0].objective)
    if len(objectives) != len(settings.directions):
        text = f"{len(settings.directions)} given, for the {len(objectives)} objectives"
        raise PlanError([option_problem("direction", f"{text} {objectives}")])
    return points


def _show(points: Sequence[DictConfig]) -> None:
    """Print what trials at both ends of the search space would run."""
    for name, cfg in zip(("first", "last"), points, strict=True):
        print(f"a trial with every parameter's {name} value:")
        run(cfg, Path(), ALLOWED)


def _check_launcher(launcher: Launcher, settings: Settings) -> None:
    """Check that the launcher can do what is asked for.

    Raises:
        PlanError: It cannot.
    """
    if is_slurm(launcher):
        if shutil.which("sbatch") is None:
            text = "submitit_slurm needs sbatch, which is not on the PATH"
            raise PlanError([Problem("hydra/launcher", "sweep", text)])
        # Submitit asks sacct again and again, and warns each time that there is none.
        import submitit  # sets its logger up

        logging.getLogger(submitit.__name__).setLevel(logging.ERROR)
    if settings.gpus and is_submitit(launcher):
        text = "submitit itself decides which GPUs its runs see"
        hint = "on SLURM give hydra.launcher.gpus_per_node, here take another launcher"
        raise PlanError([option_problem("gpus_per_worker", text, hint)])


def _open_study(
    options: OptunaAsyncConf,
    settings: Settings,
    space: SearchSpace,
    cfg: DictConfig,
    folder: Path,
) -> Study:
    """Return the study, new or as it was left, with its sampler and pruner.

    Raises:
        PlanError: It cannot be opened, asks another question, or its folder holds other trials.
        JobFailed: The disk is full or faulty.
    """
    import optuna

    name = str(options.study_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.get_storage(open_storage(options.storage, folder))
        pruner = build(options.pruner, "pruner")
        with locked(folder):
            try:
                study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
            except KeyError:
                study = optuna.create_study(
                    study_name=name, storage=storage, pruner=pruner, directions=settings.directions
                )
            check_same(study, question(space, settings.directions, cfg), name)
            _check_folder(study, folder)
            study.sampler = sampler_for(study, options.sampler, space)
    except OSError as error:
        if is_fault(error):
            raise JobFailed(f"the sweep in {folder} cannot begin: {fault_text(error)}") from error
        raise PlanError([Problem("hydra.sweep.dir", "sweep", f"{folder}: {error}")]) from error
    except PlanError:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
        raise
    return study


def _check_folder(study: Study, folder: Path) -> None:
    """Check that the study knows the trials in a folder.

    Raises:
        PlanError: It does not.
    """
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    if numbers and max(numbers) >= len(study.get_trials(deepcopy=False)):
        text = f"{folder} holds trials of another study"
        hint = "give hydra.sweeper.study_name or hydra.sweeper.storage"
        raise PlanError([Problem("hydra.sweep.dir", "sweep", text, hint)])


def _drive(sweep: Sweep, launcher: Launcher) -> None:
    """Drive a sweep to its end, and write and print its results."""
    from optuna.exceptions import StorageInternalError

    driver = Driver(sweep, launcher)
    try:
        with sigterm_interrupts():
            driver.run()
        write_results(sweep)
    except (OSError, StorageInternalError) as error:  # a full disk, a database that went away
        reason = fault_text(error) if isinstance(error, OSError) else str(error)
        text = f"the sweep in {sweep.folder} cannot be written to any more: {reason}"
        raise JobFailed(text) from error
    print(last_lines(sweep), flush=True)
    num_failed, most = driver.num_failed(), sweep.settings.max_failures
    if num_failed > most:
        raise JobFailed(f"{num_failed} trials failed, max_failures is {most}")
    if not best_trials(sweep.study):
        raise JobFailed("no trial was completed")


def _watcher_overrides(cfg: DictConfig, study_name: str) -> tuple[str, ...]:
    """Return wandb's group and tags, the same for all trials, unless the user has given some."""
    watcher = cfg.watcher
    found = []
    if "group" in watcher and watcher.group is None:
        found.append(f"watcher.group='{study_name}'")
    if "tags" in watcher and not watcher.tags:
        found.append(f"watcher.tags=[sweep,'{study_name}']")
    return tuple(found)
