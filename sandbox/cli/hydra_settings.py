"""Check the ``hydra`` node of a config: what Hydra itself would build, set and write."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from sandbox.cli.reading import read, resolved
from sandbox.cli.sweep_size import size_problems
from sandbox.components.permissions import (
    HYDRA_CLASSES,
    LOGGING_CLASSES,
    SBATCH_VARIABLES,
    SEARCH_CLASSES,
    ask_for_class,
    is_allowed_class,
    is_inside,
    is_permitted,
    needs,
    path_problems,
    unknown_permissions,
    variable_problems,
)
from sandbox.components.problem import Problem
from sandbox.components.tree import children, leaves, mapped, select
from sandbox.components.values import shortened
from sandbox.planning.settings import folder_problem, interpolation_problem, unresolved
from sandbox.system.files import obstacle

# Texts for people, and what Hydra fills in itself.
_UNUSED = ("help", "hydra_help", "overrides", "runtime", "aliases")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_LOGGING = ("hydra_logging", "job_logging")
_HYDRA_VALUE = re.compile(r"\$\{\s*hydra:\s*([\w.]+)\s*\}")
_LOCAL_STORAGE = re.compile(r"(?:sqlite:///)?(?P<path>[^?:]+)")


def typed_in(cfg: DictConfig) -> set[str]:
    """Return the keys that were typed on the command line."""
    # Not resolved: values on the command line may hold interpolations.
    words = unresolved(cfg.hydra.overrides.task)
    return {word.partition("=")[0].lstrip("+") for word in words}


Rights = tuple[Sequence[str], Sequence[str]]
"""Class paths that the user allows, and what the user permits."""


def hydra_problems(
    cfg: DictConfig, typed: Collection[str], *rights: Rights
) -> Iterator[list[Problem]]:
    """Yield for each of several rights what the ``hydra`` node asks for and must not have.

    Args:
        cfg: A composed config, nothing of which has been used yet.
        typed: Keys that were typed on the command line.
        rights: Class paths that the user allows (ours are no business of Hydra's), and what the
            user permits.
    """
    folder, unreadable = _run_folder(cfg)
    hydra: dict[str, Any] = {}  # takes longer than all checks of it, and is the same for all
    for patterns, allowed in rights:
        root, problems = _written_folder(cfg, "outputs_dir", (".",), typed, allowed)
        if not problems:
            _, problems = _written_folder(cfg, "store_dir", (".", root), typed, allowed)
        problems = problems or unreadable
        if not problems:
            hydra = hydra or _settled(cfg, folder)
            problems = [*_node_problems(cfg, hydra, root, patterns, allowed)]
        yield problems


def _node_problems(
    cfg: DictConfig,
    hydra: Mapping[str, Any],
    root: str,
    patterns: Sequence[str],
    allowed: Sequence[str],
) -> Iterator[Problem]:
    """Yield what is wrong with the settled ``hydra`` node."""
    yield from unknown_permissions()
    yield from _class_problems(hydra, patterns)
    yield from _job_problems(hydra, allowed)
    yield from _folder_problems(hydra, _is_multirun(cfg), root, allowed)
    yield from _logging_problems(hydra, root, patterns, allowed)
    yield from _launcher_problems(hydra, allowed)
    yield from _sweeper_problems(hydra, root, patterns, allowed)
    overrides = {**hydra, "overrides": read(cfg.hydra, "overrides")}
    yield from size_problems(overrides, _is_multirun(cfg))


def _written_folder(
    cfg: DictConfig,
    key: str,
    above: Sequence[str],
    typed: Collection[str],
    allowed: Sequence[str],
) -> tuple[str, list[Problem]]:
    """Return a folder of the frame below which a run may write, and what is wrong with it."""
    try:
        folder = cfg.get(key)
    except OmegaConfBaseException as error:
        return "", [Problem(key, "interpolation", str(error).splitlines()[0])]
    reason = folder_problem(folder)
    if not reason and not is_dry_run(cfg):
        reason = obstacle(Path(folder))
    if reason:
        return "", [Problem(key, "setting", reason)]
    is_below = any(is_inside(folder, each) for each in above)
    if key in typed or is_below or is_permitted("outside-files", allowed):
        return folder, []
    text = f"a config has chosen {folder!r}, which is outside the working directory"
    return folder, [needs("outside-files", key, text)]


def is_dry_run(cfg: DictConfig) -> bool:
    """Return True if the run only explains itself; a sweep needs its folder all the same."""
    node = cfg._get_node("dry_run")
    return node is not None and OmegaConf.select(cfg, "dry_run") is True and not _is_multirun(cfg)


def write_nothing(cfg: DictConfig) -> None:
    """Let Hydra make no folder and no files: a dry run works where nothing can be written."""
    hydra = cfg.hydra
    with read_write(hydra), open_dict(hydra):
        hydra.run.dir = "."  # exists
        hydra.output_subdir = None
        for _, handler in (hydra.job_logging.get("handlers") or {}).items():
            if "filename" in handler:
                handler.filename = os.devnull


def _is_multirun(cfg: DictConfig) -> bool:
    return str(cfg.hydra.mode).endswith("MULTIRUN")


def _run_folder(cfg: DictConfig) -> tuple[str, list[Problem]]:
    """Return the folder of the run or sweep as far as it can be resolved, and what is wrong.

    No run could have a folder that cannot be resolved; Hydra would only print a traceback.
    """
    key = "sweep" if _is_multirun(cfg) else "run"
    problems = []
    try:
        return str(cfg.hydra[key].dir), []
    except InterpolationToMissingValueError:  # Hydra gives the value when the run starts
        pass
    except OmegaConfBaseException as error:
        if "HydraConfig was not set" not in str(error):  # else its value comes later
            problems = [interpolation_problem(error, f"hydra.{key}.dir")]
    return str(read(cfg.hydra[key], "dir")), problems


def _settled(cfg: DictConfig, folder: str) -> dict[str, Any]:
    """Return the ``hydra`` node as plain data, each value as Hydra will read it.

    What cannot be resolved before the run starts stays as it is, and is no path below a folder.
    A sweep is checked twice a trial, so the node is copied as a whole, and only interpolations are
    read through OmegaConf: each takes as long as copying a hundred values.

    Args:
        cfg: The composed config.
        folder: Folder of the run or sweep.
    """
    hydra, runtime = cfg.hydra, cfg.hydra.runtime
    copy = unresolved(hydra)
    used = {key: value for key, value in copy.items() if key not in _UNUSED}
    if isinstance(used["job"], dict):
        used["job"].pop("override_dirname", None)  # takes 1 ms; read where another value names it
    place = "sweep" if _is_multirun(cfg) else "run"
    if isinstance(used[place], dict):
        used[place]["dir"] = folder
    folder = _expanded(folder, hydra)
    with read_write(runtime), open_dict(runtime):
        before = runtime._get_node("output_dir")._value()
        # Hydra sets it when the run starts, after it has read the folder; log files name it.
        runtime.output_dir = str(Path("/unknown" if "${" in folder else folder).absolute())
        found: dict[str, Any] = _expanded(resolved(used, hydra), hydra)
        runtime.output_dir = before
    return found


def _expanded(value: Any, hydra: DictConfig) -> Any:
    """Replace ``${hydra:…}``, which Hydra itself resolves only while a run starts.

    Values that it gives only then, such as the number of a trial, become a name.
    """

    def known(match: re.Match[str]) -> str:
        found: Any = hydra
        for key in match[1].split("."):
            is_there = isinstance(found, DictConfig) and key in found.keys()  # noqa: SIM118
            found = read(found, key) if is_there else None
        return "x" if found is None else str(found)

    def expanded(leaf: Any) -> Any:
        return _HYDRA_VALUE.sub(known, leaf) if isinstance(leaf, str) else leaf

    return mapped(value, expanded)


def _class_problems(hydra: Mapping[str, Any], patterns: Sequence[str]) -> Iterator[Problem]:
    """Yield class paths that Hydra would build: callbacks need permission."""
    known = (*HYDRA_CLASSES, *SEARCH_CLASSES, *patterns)
    for place, leaf in leaves(hydra, "hydra"):
        if place.endswith("._target_") and not _is_known(leaf, known):
            yield _unknown_class(place, leaf)


def _is_known(target: Any, known: Sequence[str]) -> bool:
    return isinstance(target, str) and is_allowed_class(target, known)


def _unknown_class(place: str, target: Any) -> Problem:
    return Problem(place, "target", f"{target} is not allowed", ask_for_class(target))


def _job_problems(hydra: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[Problem]:
    variables = select(hydra, "job.env_set") or {}
    yield from variable_problems(variables, "hydra.job.env_set", allowed)
    verbose = hydra.get("verbose")
    if not isinstance(verbose, (bool, str, list)):
        text = f"given {shortened(verbose)}, expected true, false or names of loggers"
        yield Problem("hydra.verbose", "setting", text)
    if select(hydra, "job.chdir"):
        hint = "paths and the store are found from where you start"
        yield Problem("hydra.job.chdir", "setting", "must be false", hint)


def _folder_problems(
    hydra: Mapping[str, Any], is_multirun: bool, root: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield folders of the run, or of the sweep and its trials, outside ``outputs_dir``."""
    place = "sweep.dir" if is_multirun else "run.dir"
    run_dir = Path(str(select(hydra, place)))
    folders = {place: str(run_dir)}
    if is_multirun:
        run_dir /= str(select(hydra, "sweep.subdir"))
        folders["sweep.subdir"] = str(run_dir)
    folders["output_subdir"] = str(run_dir / str(hydra.get("output_subdir") or ""))
    for key in ("submitit_folder", "temp_folder"):
        folder = select(hydra, f"launcher.{key}")
        folders |= {f"launcher.{key}": folder} if folder else {}
    for place, folder in folders.items():
        yield from path_problems(folder, root, f"hydra.{place}", allowed)


def _logging_problems(
    hydra: Mapping[str, Any], root: str, patterns: Sequence[str], allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yield classes, objects and files that a logging config must not name."""
    known = (*LOGGING_CLASSES, *patterns)
    for section in _LOGGING:
        where = f"hydra.{section}"
        yield from _shape_problems(hydra.get(section), where)
        for place, leaf in _entries(hydra.get(section), where):
            key = place.rpartition(".")[2]
            if key in ("class", "()", "queue", "listener") and not _is_known(leaf, known):
                yield _unknown_class(place, leaf)
            elif isinstance(leaf, str) and "://" in leaf and leaf not in _STREAMS:
                text = f"given {leaf!r}, expected {' or '.join(_STREAMS)}"
                yield Problem(place, "permission", text)
        for name, handler in children(select(hydra, f"{section}.handlers")):
            yield from _handler_problems(handler, root, f"{where}.handlers.{name}", allowed)


def _shape_problems(section: Any, where: str) -> Iterator[Problem]:
    """Yield parts of a logging config that are no mappings; Python's logging names no place."""
    parts = {where: section}
    for key in ("root", "handlers", "formatters", "loggers", "filters"):
        parts[f"{where}.{key}"] = section.get(key) if isinstance(section, Mapping) else None
    for place, part in parts.items():
        if part is not None and not isinstance(part, Mapping):
            yield Problem(place, "setting", f"given {shortened(part)}, expected a mapping")


def _entries(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield place and value of everything that Python's logging would act on."""
    for place, leaf in leaves(value, where):
        if not place.endswith((".format", ".datefmt")):  # texts of any form
            yield place, leaf


def _handler_problems(
    handler: Any, root: str, where: str, allowed: Sequence[str]
) -> Iterator[Problem]:
    if not isinstance(handler, Mapping):
        return
    if "." in handler:  # sets attributes of the handler that was built: its file, for example
        text = "attributes of a handler cannot be set by a config"
        yield Problem(f"{where}.'.'", "permission", text)
    if "filename" not in handler or is_permitted("outside-files", allowed):
        return
    path = str(handler["filename"])
    yield from path_problems(path, root, f"{where}.filename", allowed)
    if not path.endswith(".log"):
        yield needs("outside-files", f"{where}.filename", f"given {path!r}, expected *.log")
    if handler.get("mode", "a") != "a":
        text = f"given {handler['mode']!r}: would replace a file, expected 'a'"
        yield needs("outside-files", f"{where}.mode", text)


def _launcher_problems(hydra: Mapping[str, Any], allowed: Sequence[str]) -> Iterator[Problem]:
    """Yield what a launcher would run or pass to sbatch besides our own program."""
    where = "hydra.launcher"
    launcher = hydra.get("launcher") or {}
    doors = {"setup": "shell-lines", "srun_args": "shell-lines", "python": "interpreter"}
    for key, permission in doors.items():
        if launcher.get(key) and not is_permitted(permission, allowed):
            yield needs(permission, f"{where}.{key}", f"given {launcher[key]!r}")
    options = launcher.get("additional_parameters") or {}
    for key, value in children(options):
        place = f"{where}.additional_parameters.{key}"
        name = str(key).replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            yield Problem(place, "constraint", "expected a long option of sbatch")
        if name in SBATCH_VARIABLES and not is_permitted("env-variables", allowed):
            yield needs("env-variables", place, f"given {value!r}")
    for place, leaf in leaves({**launcher, "setup": None, "srun_args": None}, where):
        if isinstance(leaf, str) and (not leaf.isprintable() or leaf.lstrip().startswith("-")):
            text = f"given {leaf!r}, expected one line of printable text without a leading -"
            yield Problem(place, "constraint", text)


def _sweeper_problems(
    hydra: Mapping[str, Any], root: str, patterns: Sequence[str], allowed: Sequence[str]
) -> Iterator[Problem]:
    where = "hydra.sweeper"
    sweeper = hydra.get("sweeper") or {}
    function = sweeper.get("custom_search_space")
    if function is not None and not _is_known(function, patterns):
        yield _unknown_class(f"{where}.custom_search_space", function)
    storage = sweeper.get("storage")
    if storage and not _is_local(str(storage), root) and not is_permitted("storage-url", allowed):
        text = f"expected a file below the working directory or {root!r}"
        yield needs("storage-url", f"{where}.storage", text)


def _is_local(storage: str, root: str) -> bool:
    """Return True for an SQLite database or a journal, in a place where a config may write."""
    match = _LOCAL_STORAGE.fullmatch(storage)
    return match is not None and any(is_inside(match["path"], folder) for folder in (".", root))
