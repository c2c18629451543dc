"""Keep programs open in this process, from one element of a job to the next.

What is kept is closed when a compute has done its items (see ``sandbox.compute``), and at the end
of the process.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from sandbox.system.process import ProcessError


class Closeable(Protocol):
    """Something that is open."""

    def close(self) -> None:
        """End it."""


K = TypeVar("K", bound=Closeable)
R = TypeVar("R")

_lock = threading.RLock()
_kept: dict[Hashable, Any] = {}
# A forked process must not talk to the programs of its parent.
os.register_at_fork(after_in_child=_kept.clear)


def use_kept(key: Hashable, open: Callable[[], K], use: Callable[[K], R]) -> R:
    """Call ``use`` with what is open under ``key``; call ``open`` first where nothing is.

    One thread at a time. An error closes it. Because its program may have ended since it was last
    used, a ``ProcessError`` then counts only if it comes again from a new one.
    """
    with _lock:
        if key in _kept:
            try:
                return _use(key, use)
            except ProcessError:
                pass
        _kept[key] = open()
        return _use(key, use)


def _use(key: Hashable, use: Callable[[Any], R]) -> R:
    try:
        return use(_kept[key])
    except BaseException:
        _kept.pop(key).close()
        raise


def close_kept() -> None:
    """Close everything that is kept in this process."""
    with _lock:
        while _kept:
            _kept.popitem()[1].close()


atexit.register(close_kept)
