"""Signals that interrupt a run: when they are noticed, and by whom.

Python lets only the main thread change handlers; in other threads nothing here has an effect.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def in_main_thread() -> bool:
    """Return whether this is the main thread, which alone receives signals."""
    return threading.current_thread() is threading.main_thread()


def interrupts_raise() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt`` again, where it would end the process at once."""
    if in_main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt``, as Ctrl-C does, while the block lasts."""
    if not in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Hold interrupts back until the block ends, also from programs that it starts."""
    if not in_main_thread():
        yield
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in _INTERRUPTS
        if callable(signal.getsignal(number))
    }
    # Programs inherit the mask: the terminal sends Ctrl-C to them too.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


class HangUpListener:
    """Distinguish a lost terminal (SIGHUP) from other interrupts, while the block lasts.

    The handler that was there before still runs.
    """

    def __init__(self) -> None:
        self.has_hung_up = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if in_main_thread() and callable(signal.getsignal(signal.SIGHUP)):
            self._before = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGHUP, self._before)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.has_hung_up = True
        self._before(number, frame)
