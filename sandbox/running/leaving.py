"""Keep ``os._exit`` of a component from ending a run as if it were done.

``os._exit(0)`` passes by ``finally``, ``atexit`` and everything else in Python. So a run would end
with status 0 and without its results where a component calls it in the run's own process. Only a
parent process that waits for an end mark would also see such an end in C code or by ``os.execv``.
But that parent would be between the run and its signals, its terminal and its scheduler, and slow
down every start. Where one is wanted, ``compute=local`` has it: its processes are watched.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

log = logging.getLogger(__name__)

_at_work: set[tuple[int, int]] = set()
"""Process and thread of every component that is at work."""

_exit = os._exit


@contextmanager
def no_silent_exit() -> Iterator[None]:
    """Turn ``os._exit`` in the block into ``SystemExit``.

    In another thread it still ends the process, but never with status 0. Processes that the block
    forks leave as they like.
    """
    here = (os.getpid(), threading.get_ident())
    os._exit = _leave
    _at_work.add(here)
    try:
        yield
    finally:
        _at_work.discard(here)


def _leave(status: int) -> NoReturn:
    pid = os.getpid()
    if (pid, threading.get_ident()) in _at_work:
        raise SystemExit(f"it called os._exit({status})")
    if status == 0 and any(pid == other for other, _ in _at_work):
        log.error("a thread of a component called os._exit(0): the run is cut short")
        status = 1
    _exit(status)
