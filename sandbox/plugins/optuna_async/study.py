"""The study of a sweep: opening it, and refusing to mix two questions in one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from sandbox.plugins.optuna_async.space import SearchSpace

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
        # the lock that works on NFS, which SQLite's does not
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except Exception as error:  # of whatever library the URL names
        text = str(error).strip().splitlines()
        raise ValueError(
            f"hydra.sweeper.storage: cannot open {where}: {type(error).__name__}: {text[0] if text else ''}"
        ) from error


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
            differences += [_difference(part, key, was.get(key), now[part].get(key)) for key in keys]
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
