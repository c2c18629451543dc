"""Holders of claims, trials and queues: their locks and heartbeats, on whatever host.

An owner shows that it is alive in two ways:

- On its own host by a kernel lock on a file, which ends with the owner, however that ends.
- On other hosts by a heartbeat: a thread renews the modification time of a file. An observer checks
  that the time changes; how long it did not is measured by the observer's clock. The time itself is
  never read, so that clocks need not agree.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Self

from sandbox.system.files import named, read_json

_LOST_AFTER_S = 60.0
_BEATS = 6  # heartbeats in the time after which an owner counts as lost
_LONGEST_STEP_S = 2.0
_LARGEST_PID = 2**31 - 1
_ENDED_NS = 0  # the modification time of a heartbeat file whose owner ended in order


def this_host() -> str:
    """Return the identity of this host: ``SANDBOX_HOST``, else its name and its kernel's boot."""
    given = os.environ.get("SANDBOX_HOST")
    if given:
        return given
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()} {boot.read_text().strip() if boot.exists() else ''}"


def lost_after_s() -> float:
    """Return the seconds without a heartbeat after which an owner on another host counts as lost.

    Raises:
        ValueError: ``SANDBOX_LOST_AFTER_S`` is not a positive number.
    """
    given = os.environ.get("SANDBOX_LOST_AFTER_S", str(_LOST_AFTER_S))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # also false for nan
        raise ValueError(
            f"SANDBOX_LOST_AFTER_S: expected a positive number of seconds, got {given!r}"
        )
    return seconds


def beat_interval_s() -> float:
    """Return the seconds between two heartbeats."""
    return lost_after_s() / _BEATS


@dataclass(frozen=True)
class Owner:
    """A process that holds something.

    Args:
        host: Its host, by :func:`this_host`.
        pid: Its number there.
        began: Local time at which it took hold.
        id: Random text, different for every hold.
    """

    host: str
    pid: int
    began: str
    id: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return this process as an owner, from now on."""
        began = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(this_host(), os.getpid(), began, uuid.uuid4().hex[:8])

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Read the owner from its file; ``None`` where that is absent or damaged."""
        match read_json(path):
            case {"host": str(host), "pid": int(pid), "began": str(began), "id": str(text)}:
                return cls(host, pid, began, text) if 0 < pid <= _LARGEST_PID else None
        return None

    @property
    def is_here(self) -> bool:
        """True if it is, or was, a process of this host."""
        return self.host == this_host()

    def __str__(self) -> str:
        import psutil

        is_gone = self.is_here and not psutil.pid_exists(self.pid)
        left_behind = ", or a program that it left behind," if is_gone else ""
        name = self.host.partition(" ")[0]
        return f"process {self.pid} on {name} (since {self.began}){left_behind}"


def write_and_lock(path: Path, owner: Owner) -> int:
    """Write a new file that names its owner, lock it, and return the descriptor with the lock.

    Where the file system has no locks, only the heartbeat is left.
    """
    with named(path):
        path.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    descriptor = os.open(path, os.O_RDWR)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def is_locked(path: Path) -> bool | None:
    """Return whether a process of this host holds the lock; ``None`` where there are no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        # A shared lock: observers that look at the same time do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


class Pulse:
    """Renew the modification time of an open file, in a thread, until it is stopped.

    Args:
        descriptor: The open file.
        goes_on: Called after every heartbeat; the pulse stops when it returns false.
    """

    def __init__(self, descriptor: int, goes_on: Callable[[], bool] = lambda: True) -> None:
        self._descriptor = descriptor
        self._goes_on = goes_on
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(beat_interval_s(),), name="pulse", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop; the file is not touched any more when this returns."""
        self._stop.set()
        self._thread.join()

    def _beat(self, interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            with contextlib.suppress(OSError):  # a file server may be away for a while
                os.utime(self._descriptor)
                if not self._goes_on():
                    return


class Heartbeat:
    """Show through a file that this process is alive, while the block lasts.

    The file appears complete and locked, in place of an earlier one. It stays when the block ends,
    marked as ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}")
        self._descriptor = write_and_lock(temporary, Owner.this_process())
        # Renamed after locking: nobody sees the file without its lock.
        temporary.replace(self.path)
        self._pulse = Pulse(self._descriptor)
        return self

    def __exit__(self, *exc: object) -> None:
        self._pulse.stop()
        with contextlib.suppress(OSError):
            os.utime(self._descriptor, ns=(_ENDED_NS, _ENDED_NS))
        os.close(self._descriptor)


class OwnerState(Enum):
    """The state of an owner, as far as it can be observed."""

    UNSEEN = auto()  # its heartbeat file is not there (yet)
    ALIVE = auto()
    ENDED = auto()  # certain: its lock is gone, or it ended in order
    SILENT = auto()  # on another host, without a heartbeat for too long


class Observer:
    """Judge whether the owner of a file is alive.

    Args:
        owner_path: File that names the owner and carries its lock.
        pulse_path: File with the owner's heartbeat; ``None``: the same file.
    """

    def __init__(self, owner_path: Path, pulse_path: Path | None = None) -> None:
        self.owner_path = owner_path
        self.pulse_path = pulse_path or owner_path
        self.lost_after_s = lost_after_s()
        self._began = self._looked = time.monotonic()
        self._mtime_ns = -1
        self._silent_s = 0.0

    @property
    def observed_s(self) -> float:
        """Seconds since the observer was made."""
        return time.monotonic() - self._began

    def state(self) -> OwnerState:
        """Look once. An owner elsewhere is found silent only by looking again and again."""
        owner = Owner.read(self.owner_path)
        locked = is_locked(self.owner_path) if owner and owner.is_here else None
        if locked is None:
            return self._state_by_pulse()
        return OwnerState.ALIVE if locked else OwnerState.ENDED

    def is_alive(self) -> bool:
        """Return whether the owner was seen and nothing speaks against its being alive."""
        return self.state() is OwnerState.ALIVE

    def _state_by_pulse(self) -> OwnerState:
        now = time.monotonic()
        try:
            with self.pulse_path.open("rb") as file:  # opened anew: NFS then asks the server
                mtime_ns = os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return OwnerState.UNSEEN
        if mtime_ns == _ENDED_NS:
            return OwnerState.ENDED
        # Only time in which we really looked counts: this process may have been suspended,
        # or the file server away.
        step_s = min(now - self._looked, _LONGEST_STEP_S, self.lost_after_s / 2)
        self._silent_s = self._silent_s + step_s if mtime_ns == self._mtime_ns else 0.0
        self._mtime_ns, self._looked = mtime_ns, now
        return OwnerState.SILENT if self._silent_s > self.lost_after_s else OwnerState.ALIVE


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file for a few steps; waits for the process that holds it.

    For steps that need no fence: whoever loses the lock by a fault of the file system does no harm.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
