"""Signals while jobs are queued: a lost terminal is told from Ctrl-C, a submission is not cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Signals:
    """Listens to the signals that interrupt a run; outside of the main thread to none."""

    def __init__(self) -> None:
        self.hung_up = False
        self._before: Any = None

    def listen(self) -> None:
        """Note a lost terminal (HUP) before whoever listened to it so far is told."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and self._before is None and callable(signal.getsignal(signal.SIGHUP)):
            self._before = signal.signal(signal.SIGHUP, self._hang_up)

    def restore(self) -> None:
        """Listen no longer."""
        if self._before is not None:
            signal.signal(signal.SIGHUP, self._before)
            self._before = None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back until the block has come to its end, also from the programs that it starts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        received: list[int] = []
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {
            number: signal.signal(number, lambda number, frame: received.append(number))
            for number in numbers
            if callable(signal.getsignal(number))
        }
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)
            if received:
                signal.raise_signal(received[0])

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.hung_up = True
        self._before(number, frame)
