"""One sweep: check all of it, then drive it to its end."""

from __future__ import annotations

import dataclasses
import functools
import logging
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sandbox.components.allowed import ALLOWED
from sandbox.job import JobFailed
from sandbox.planning.plan import PlanError, plan
from sandbox.planning.settings import texts
from sandbox.running.run import STARTED, forced_marker, run
from sandbox.sweeper.driver import Driver, run_name
from sandbox.sweeper.launching import is_slurm, is_submitit
from sandbox.sweeper.results import best_trials, last_lines, rerun, write_results
from sandbox.sweeper.settings import Settings, read_settings
from sandbox.sweeper.space import SearchSpace, read_space
from sandbox.sweeper.study import check_same, locked, open_storage, questions

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*", "optuna.pruners.*")
_SEEDED_BY_STUDY = ("QMCSampler", "GridSampler")
_STRIDE = 1_000_003


def sweep(
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
    arguments: list[str],
) -> None:
    """Check and drive a sweep.

    Args:
        config: The composed config, Hydra's own part in it.
        hydra_context: Hydra's.
        task_function: The task of every trial.
        arguments: Overrides of the command line, sweeps among them.

    Raises:
        PlanError: It cannot be done as asked; nothing was submitted, nothing of a study changed.
        JobFailed: More trials failed than allowed, or none was completed.
    """
    from optuna.exceptions import StorageInternalError

    try:
        options: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        settings = read_settings(options)
        space = read_space(options["params"] or {}, arguments, options["zip"])
        if not space.distributions and options["custom_search_space"] is None:
            raise ValueError(
                "search space: is empty; give hydra.sweeper.params, or sweeps on the command line"
            )
        settings = _with_functions(settings, options, space, config)
        points = _checked_points(space, settings, config, hydra_context)
        _try_sampler(options["sampler"], space, settings)
    except ValueError as error:
        raise PlanError(str(error).splitlines()) from error
    if points[0].dry_run:
        _show(points)
        return
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=hydra_context, task_function=task_function
    )
    if is_slurm(launcher) and shutil.which("sbatch") is None:
        raise PlanError(["hydra/launcher: submitit_slurm needs sbatch, which is not on the PATH"])
    if settings.gpus and is_submitit(launcher):
        raise PlanError(
            [
                "hydra.sweeper.gpus_per_worker: submitit says what its runs see; on SLURM give "
                "hydra.launcher.gpus_per_node, here take another launcher"
            ]
        )
    if is_slurm(
        launcher
    ):  # submitit asks sacct again and again, and tells each time that there is none
        import submitit  # which sets its logger up

        logging.getLogger(submitit.__name__).setLevel(logging.ERROR)
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    study = _open_study(options, settings, space, points[0], folder)

    def command(trial: FrozenTrial) -> str:
        seed = settings.seeds[0] if settings.seeds else None
        fixed = [text for text in space.fixed if not text.startswith("force=")]
        return rerun([*fixed, *space.overrides(trial.params), *settings.seed_overrides(seed)])

    def overrides(trial: Any, seed: int | None) -> list[str]:
        given = [*space.fixed, *space.overrides(trial.params), *settings.seed_overrides(seed)]
        watcher = _watcher_overrides(points[0], study.study_name)
        return [*given, *watcher, f"hydra.sweep.subdir='{run_name(trial.number, seed)}'"]

    write = functools.partial(write_results, study, folder, command)
    driver = Driver(study, space, settings, launcher, overrides, folder, write)
    if points[0].force:  # once more for each driver that is started, not for each trial
        forced_marker(folder).touch()
    STARTED.append(folder)
    log.info("study %s: %s", study.study_name, folder)
    try:
        with _interruptible():
            driver.run()
        write()
    except (OSError, StorageInternalError) as error:  # a full disk, a database that went away
        raise JobFailed(f"the sweep cannot be written to any more: {error}") from error
    print(last_lines(study, folder, command), flush=True)
    if driver.num_failed() > settings.max_failures:
        raise JobFailed(
            f"{driver.num_failed()} trials failed, max_failures is {settings.max_failures}"
        )
    if not best_trials(study):
        raise JobFailed("no trial was completed")


def _with_functions(
    settings: Settings, options: Mapping[str, Any], space: SearchSpace, config: DictConfig
) -> Settings:
    """Settings completed by what is code: a function of the user's, a grid that sets the number of trials."""
    target = options["custom_search_space"]
    if target is not None:
        if not any(fnmatchcase(target, pattern) for pattern in ALLOWED):  # before it is imported
            raise ValueError(
                f"hydra.sweeper.custom_search_space: {target} is not allowed; "
                f'to allow it: SANDBOX_ALLOW_TARGETS="{target}"'
            )
        function = functools.partial(get_method(target), config)
        settings = dataclasses.replace(settings, custom_search_space=function)
    if _name(options["sampler"]) == "GridSampler":
        size = 1
        for values in space.grid().values():
            size *= len(values)
        settings = dataclasses.replace(
            settings, n_trials=min(settings.n_trials, size), is_grid=True
        )
    return settings


def _name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def _checked_points(
    space: SearchSpace, settings: Settings, config: DictConfig, hydra_context: HydraContext
) -> list[DictConfig]:
    """The configs at two ends of the search space, which the plan has found in order.

    Raises:
        PlanError: A key is not in the config, or a run with such values could not start.
        ValueError: The objectives and the directions are not as many.
    """
    points = []
    for params in space.corners():
        given = [
            *space.fixed,
            *space.overrides(params),
            *settings.seed_overrides(next(iter(settings.seeds), None)),
        ]
        try:
            cfg = hydra_context.config_loader.load_sweep_config(config, given)
            with open_dict(cfg):
                del cfg["hydra"]
            plan(cfg, ALLOWED)
        except (HydraException, OmegaConfBaseException) as error:
            text = f"{error}\n{error.__cause__ or ''}".strip().splitlines()
            raise PlanError([f"search space: {text[0]}", *map("  {}".format, text[1:])]) from error
        points.append(cfg)
    objectives = texts(points[0].objective)
    if len(objectives) != len(settings.directions):
        raise ValueError(
            f"hydra.sweeper.direction: {len(settings.directions)} given, for the "
            f"{len(objectives)} objectives {objectives}"
        )
    return points


def _show(points: Sequence[DictConfig]) -> None:
    """What trials at both ends of the search space would run."""
    for name, cfg in zip(("first", "last"), points, strict=True):
        print(f"a trial with every parameter's {name} value:")
        run(cfg, Path(), ALLOWED)


def _open_study(
    options: Mapping[str, Any],
    settings: Settings,
    space: SearchSpace,
    cfg: DictConfig,
    folder: Path,
) -> Study:
    """The study, new or as it was left, with its sampler and pruner.

    Raises:
        PlanError: It cannot be opened, is about something else, or its folder holds other trials.
    """
    import optuna

    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            storage = optuna.storages.get_storage(open_storage(options["storage"], folder))
            pruner = _build(options["pruner"], "hydra.sweeper.pruner")
            name = str(options["study_name"])
            with locked(folder):
                try:
                    study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
                except KeyError:
                    directions: Any = settings.directions
                    study = optuna.create_study(
                        study_name=name, storage=storage, pruner=pruner, directions=directions
                    )
                check_same(study, questions(space, settings.directions, cfg), name)
                _check_folder(study, folder)
                study.sampler = _sampler(options["sampler"], space, study)
        except OSError as error:
            raise ValueError(f"hydra.sweep.dir: {folder}: {error}") from error
    except ValueError as error:
        with suppress(OSError):
            folder.rmdir()
        raise PlanError(str(error).splitlines()) from error
    return study


def _build(node: Mapping[str, Any], where: str) -> Any:
    """Raises ValueError: it does not take such arguments."""
    try:
        return instantiate(dict(node), _execution_whitelist_=(*_SAMPLERS, *ALLOWED))
    except Exception as error:  # Hydra's, around whatever the class said
        raise ValueError(f"{where}: {error.__cause__ or error}") from error


def _try_sampler(node: Mapping[str, Any], space: SearchSpace, settings: Settings) -> None:
    """Draw two points for no one: some samplers look for their libraries only then.

    Raises:
        ValueError: The sampler cannot draw from such a space.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    directions: Any = settings.directions
    study = optuna.create_study(directions=directions)
    study.sampler = _sampler(node, space, study)
    try:
        for _ in range(2):
            study.tell(study.ask(space.distributions), [0.0] * len(directions))
    except RuntimeError as error:
        if "Study.stop" not in str(error):
            raise ValueError(f"hydra.sweeper.sampler: {_name(node)}: {error}") from error
    except (ImportError, ValueError) as error:
        raise ValueError(f"hydra.sweeper.sampler: {_name(node)}: {error}") from error


def _sampler(node: Mapping[str, Any], space: SearchSpace, study: Study) -> Any:
    """The sampler; each driver of a study draws numbers of its own, from the seed if there is one."""
    number = int(study.user_attrs.get("num_drivers", 0))
    study.set_user_attr("num_drivers", number + 1)
    node = dict(node)
    if node.get("seed") is not None and _name(node) not in _SEEDED_BY_STUDY:
        node["seed"] += _STRIDE * number
    built = _build(node, "hydra.sweeper.sampler")
    return built(space.grid()) if _name(node) == "GridSampler" else built


def _check_folder(study: Study, folder: Path) -> None:
    """Raises ValueError: the folder holds trials that the study does not know."""
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    if numbers and max(numbers) >= len(study.get_trials(deepcopy=False)):
        raise ValueError(
            f"hydra.sweep.dir: {folder} holds trials of another study; "
            "give hydra.sweeper.study_name or hydra.sweeper.storage"
        )


def _watcher_overrides(cfg: DictConfig, study_name: str) -> list[str]:
    """Wandb's group and tags, the same for all trials, where the user's own are not given."""
    watcher = cfg.watcher
    found = []
    if "group" in watcher and watcher.group is None:
        found.append(f"watcher.group='{study_name}'")
    if "tags" in watcher and not watcher.tags:
        found.append(f"watcher.tags=[sweep,'{study_name}']")
    return found


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM interrupts, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
