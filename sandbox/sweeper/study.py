"""The study of a sweep: opening its storage, and refusing to mix two questions in one study."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sandbox.components.problem import PlanError, Problem
from sandbox.components.tree import leaves
from sandbox.components.values import shortened
from sandbox.sweeper.options import option_problem
from sandbox.system.liveness import exclusive

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from sandbox.sweeper.space import SearchSpace

JOURNAL = "study.journal"

_NO_QUESTION = ("hydra", "watcher", "compute", "force", "dry_run", "outputs_dir", "store_dir")
"""Keys of a config that change no result, and may differ when a sweep goes on."""

_MOST_SHOWN = 8


def open_storage(storage: str | None, folder: Path) -> BaseStorage:
    """Open the storage of a study.

    Args:
        storage: Any Optuna URL, or the path of a journal; ``None``: the journal in ``folder``.
        folder: Folder of the sweep.

    Raises:
        PlanError: It cannot be opened; what existed is unchanged.
    """
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    where = storage or str(folder / JOURNAL)
    try:
        if where.startswith("redis"):
            return get_storage(where)
        if "://" in where:
            # get_storage would hide the errors of a later connection in a cache.
            return RDBStorage(where)
        path = Path(where)
        _check_journal(path)
        # The lock that works on NFS, which SQLite's does not.
        lock: Any = _WholeLines(JournalFileOpenLock(str(path)), path)
        return JournalStorage(JournalFileBackend(str(path), lock))
    except Exception as error:  # of whatever library the URL names
        lines = str(error).strip().splitlines() or [""]
        text = f"cannot open {where}: {type(error).__name__}: {lines[0]}"
        raise PlanError([option_problem("storage", text)]) from error


def _check_journal(path: Path) -> None:
    """Check that a file is a journal before it is written.

    Raises:
        ValueError: The file is something else.
        FileNotFoundError: There is no folder for it.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    if path.exists():
        with path.open("rb") as file:
            first = file.readline()
        if first and b'"op_code"' not in first:
            raise ValueError("it is no journal of Optuna's")


class _WholeLines:
    """The lock of a journal, which also removes a torn last line before the journal is written.

    A full disk or a crash may cut a line off. With the next line behind it, the journal could not
    be read any more.
    """

    def __init__(self, lock: Any, path: Path) -> None:
        self._lock = lock
        self._path = path

    def acquire(self) -> None:
        self._lock.acquire()
        try:
            self._remove_torn_line()
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        self._lock.release()

    def _remove_torn_line(self) -> None:
        with self._path.open("rb+") as file:
            if not file.seek(0, os.SEEK_END):
                return
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the sweep in ``folder`` against its other drivers, on whatever host, for a few steps."""
    return exclusive(folder / "drivers.lock")


def question(space: SearchSpace, directions: Sequence[str], cfg: DictConfig) -> dict[str, Any]:
    """Return the question of a study: its search space, directions and experiment, flat."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for key in _NO_QUESTION:
        plain.pop(key, None)
    for job in (plain.get("jobs") or {}).values():
        if isinstance(job, dict):
            job.pop("compute", None)
    found = {f"search space {name}": str(value) for name, value in space.distributions.items()}
    found["directions"] = ", ".join(directions)
    return found | {f"experiment {place}": _as_json(value) for place, value in leaves(plain)}


def check_same(study: Study, now: Mapping[str, Any], name: str) -> None:
    """Store the question of a new study, or compare it with that of a known one.

    Raises:
        PlanError: The study had another question.
    """
    known = study.user_attrs.get("question")
    num_trials = len(study.get_trials(deepcopy=False))
    if known is None and not num_trials:
        study.set_user_attr("question", now)
        return
    if known is None:  # another program made the study
        known = {"directions": ", ".join(each.name.lower() for each in study.directions)}
        now = {"directions": now["directions"]}
    differences = list(_differences(known, now))
    if differences:
        text = f"{name} has {num_trials} trials and asked another question; it was not changed"
        hint = "give this one another name: hydra.sweeper.study_name=…"
        more = len(differences) - _MOST_SHOWN
        problems = [option_problem("study_name", text, hint), *differences[:_MOST_SHOWN]]
        if more > 0:
            problems.append(Problem("…", "sweep", f"{more} more differences"))
        raise PlanError(problems)


def _differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Problem]:
    for key in {**known, **now}:
        if known.get(key) != now.get(key):
            text = f"was {_shown(known.get(key))}, is {_shown(now.get(key))}"
            yield Problem(key, "sweep", text)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) and len(value) <= 100 else shortened(value, 100)


def _as_json(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
