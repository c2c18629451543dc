"""The study of a sweep: opening it, and refusing to mix two questions in one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from sandbox.sweeper.space import SearchSpace

JOURNAL = "study.journal"

_NO_MATTER = ("hydra", "watcher", "compute", "force", "dry_run", "outputs_dir", "store_dir")
"""Keys of a config that change no result, and may be others when a sweep goes on."""

_MOST_SHOWN = 8
_LONGEST_S = 60


def open_storage(storage: str | None, folder: Path) -> BaseStorage:
    """Open the storage of a study.

    Args:
        storage: Any Optuna URL, or the path of a journal; ``None`` is the journal in ``folder``.
        folder: Folder of the sweep.

    Raises:
        ValueError: It cannot be opened; nothing that was there is changed.
    """
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    where = storage or str(folder / JOURNAL)
    try:
        if "://" in where:
            # get_storage would hide the errors of a later connection in a cache
            return RDBStorage(where) if not where.startswith("redis") else get_storage(where)
        path = Path(where)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        _check_journal(path)
        # the lock that works on NFS, which SQLite's does not
        lock: Any = _WholeLines(JournalFileOpenLock(str(path)), path)
        return JournalStorage(JournalFileBackend(str(path), lock))
    except Exception as error:  # of whatever library the URL names
        text = str(error).strip().splitlines()
        raise ValueError(
            f"hydra.sweeper.storage: cannot open {where}: {type(error).__name__}: {text[0] if text else ''}"
        ) from error


def _check_journal(path: Path) -> None:
    """Raises ValueError: the file is something else, and is not to be written to."""
    if path.exists():
        with path.open("rb") as file:
            first = file.readline()
        if first and b'"op_code"' not in first:
            raise ValueError("it is no journal of Optuna's")


class _WholeLines:
    """The lock of a journal that is about to be written.

    It takes away a last line that a full disk or a crash has cut off: with the next line behind it, the
    journal could not be read any more.
    """

    def __init__(self, lock: Any, path: Path) -> None:
        self._lock = lock
        self._path = path

    def acquire(self) -> None:
        self._lock.acquire()
        try:
            self._cut()
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        self._lock.release()

    def _cut(self) -> None:
        with self._path.open("rb+") as file:
            if not file.seek(0, os.SEEK_END):
                return
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the sweep in ``folder`` against its other drivers, on whatever machine, for some steps."""
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(str(folder / "drivers"), grace_period=_LONGEST_S)
    lock.acquire()
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it took so long that another driver took the lock
            lock.release()


def questions(space: SearchSpace, directions: Sequence[str], cfg: DictConfig) -> dict[str, Any]:
    """What a study is about: its search space, its directions and its experiment, all as plain text."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for key in _NO_MATTER:
        plain.pop(key, None)
    for job in (plain.get("jobs") or {}).values():
        if isinstance(job, dict):
            job.pop("compute", None)
    return {
        "search_space": {name: str(value) for name, value in space.distributions.items()},
        "directions": list(directions),
        "experiment": dict(_flat(plain, "")),
    }


def check_same(study: Study, now: Mapping[str, Any], name: str) -> None:
    """Remember what the study is about, or find it unchanged.

    Raises:
        ValueError: It was about something else.
    """
    known = study.user_attrs.get("about")
    if known is None and not study.get_trials(deepcopy=False):
        study.set_user_attr("about", now)
        return
    known = known or {"directions": [direction.name.lower() for direction in study.directions]}
    differences = []
    for part, was in known.items():
        if isinstance(was, dict):
            keys = [key for key in {**was, **now[part]} if was.get(key) != now[part].get(key)]
            differences += [
                _difference(part, key, was.get(key), now[part].get(key)) for key in keys
            ]
        elif was != now[part]:
            differences.append(_difference("", part, was, now[part]))
    if differences:
        more = len(differences) - _MOST_SHOWN
        raise ValueError(
            "\n".join(
                [
                    f"study {name} has {len(study.get_trials(deepcopy=False))} trials and was about "
                    "something else; nothing of it was changed. Give this one another name: "
                    "hydra.sweeper.study_name=…",
                    *differences[:_MOST_SHOWN],
                    *([f"  … {more} more"] if more > 0 else []),
                ]
            )
        )


def _difference(part: str, key: str, was: Any, now: Any) -> str:
    shown = ["nothing" if value is None else _short(value) for value in (was, now)]
    return f"  {part.replace('_', ' ')} {key}: was {shown[0]}, is {shown[1]}".replace("   ", "  ")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def _flat(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _flat(child, f"{where}.{key}".lstrip("."))
    else:
        yield where, json.loads(json.dumps(value, default=str))
