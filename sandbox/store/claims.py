"""Claims on element jobs: one process does a job, on whatever host; the others wait and reuse.

<folder>/attempts/<n>/  owner.json  claim

An attempt's folder appears whole, by a rename that fails where its number is taken, and stays for ever:
attempt n + 1 begins only when attempt n has ended. The file ``claim`` is there while the attempt goes on.
It ends by a rename of that one file: by its owner to the job's record or to ``failure.json``, by who takes
the job over to ``died`` or ``lost``. A rename has one winner, so a job that was taken over is not committed
by an owner that comes back late, and of several that would take over one does.

The owner's life shows in two ways. On its own host it is a lock of the kernel on ``owner.json``, which goes
with the owner, however that ends; programs that it starts inherit it, so that one which outlives a killed
owner still holds the job. Between hosts it is the claim's mtime, renewed by a thread: whoever waits looks
whether it changes, over a time of its own clock; what time it shows, by whose clock, does not matter.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.system import liveness
from sandbox.system.files import sync_directory

log = logging.getLogger(__name__)

_STALE_S = 60.0
_BEATS = 6  # in the time after which a claim counts as lost
_LONGEST_STEP_S = 2.0


class ClaimLost(RuntimeError):
    """The job was taken over by somebody else while this process gave no sign of life."""


def this_host() -> str:
    """What tells this host from others: ``SANDBOX_HOST``, else its name and the boot of its kernel."""
    return os.environ.get("SANDBOX_HOST") or liveness.this_host()


def stale_after_s() -> float:
    """Seconds without a sign of life after which another host takes a job over: ``SANDBOX_CLAIM_STALE_S``.

    Raises:
        ValueError: It is not a positive number.
    """
    given = os.environ.get("SANDBOX_CLAIM_STALE_S", str(_STALE_S))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(
            f"SANDBOX_CLAIM_STALE_S: expected a positive number of seconds, got {given!r}"
        )
    return seconds


class Claim:
    """A held claim: attempt ``number`` at the job of ``folder``.

    Args:
        folder: Folder of the job.
        number: Number of the attempt, from 1.
        lock: Descriptor of ``owner.json``, which carries the kernel's lock.
        stale_s: How long the owner may give no sign of life.
    """

    def __init__(self, folder: Path, number: int, lock: int, stale_s: float) -> None:
        self.folder = folder
        self.number = number
        self.attempt_dir = _attempts(folder) / str(number)
        self._path = self.attempt_dir / "claim"
        self._lock = lock
        self._file = self._path.open("r+", encoding="utf-8")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(stale_s / _BEATS,), daemon=True)
        self._thread.start()

    @property
    def is_held(self) -> bool:
        """Whether nobody has taken the job over."""
        return "claim" in _names(self.attempt_dir)

    def end_as(self, path: Path, text: str) -> None:
        """End the attempt: the claim becomes the file ``path`` and holds ``text``, durably, all at once.

        Raises:
            ClaimLost: Somebody has taken the job over; ``path`` is as it was.
        """
        self._stop.set()
        self._thread.join()
        if not self.is_held:  # nor is it after it has become a file, which must stay as it is
            raise ClaimLost(self._who_took_over())
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        try:
            self._path.rename(path)
        except FileNotFoundError as error:
            if not path.exists() or not os.path.samestat(
                path.stat(), os.fstat(self._file.fileno())
            ):
                raise ClaimLost(self._who_took_over()) from error
        sync_directory(path.parent)

    def release(self) -> None:
        """Let the job go, whether or not the attempt has ended."""
        self._stop.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._file.close()
        with contextlib.suppress(
            OSError
        ):  # also for what a program left behind and still inherits it
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)

    def _beat(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            with contextlib.suppress(OSError):  # a file server that is away for a while
                os.utime(self._file.fileno())
                if not self.is_held:
                    log.warning("%s", self._who_took_over())
                    return

    def _who_took_over(self) -> str:
        return (
            f"{self.folder.parent.name}: attempt {self.number} gave no sign of life for too long"
            f" (was it suspended?) and {_owner_text(_attempts(self.folder) / str(self.number + 1))} took the"
            " job over; what this attempt makes is not recorded"
        )


def take(folder: Path, label: str, is_done: Callable[[], bool]) -> Claim | None:
    """Claim a job; waits while somebody else holds it.

    Args:
        folder: Folder of the job.
        label: What the log calls the job.
        is_done: Whether there is nothing left to do; asked whenever nobody holds the job.

    Returns:
        The claim, or ``None`` if the job is done.
    """
    host, stale_s = this_host(), stale_after_s()
    watched: _Watch | None = None
    while True:
        number = max((int(name) for name in _names(_attempts(folder)) if name.isdigit()), default=0)
        attempt_dir = _attempts(folder) / str(number)
        if "claim" not in _names(attempt_dir):
            _names(folder)  # a network file system then looks again whether the record is there
            if is_done():
                return None
            claim = _begin(folder, number + 1, host, stale_s)
            if claim:
                return claim
            time.sleep(0.05)
        else:
            if watched is None or watched.attempt_dir != attempt_dir:
                watched = _Watch(attempt_dir, host, stale_s, label)
            watched.look()


def work_dirs(folder: Path) -> list[Path]:
    """Where the attempts at a job work, the present place last.

    One place for all, but a new one after a lost attempt: its programs may still be writing, elsewhere.
    """
    numbers = sorted(int(path.parent.name) for path in _attempts(folder).glob("*/lost"))
    return [folder, *(folder / f"after_{number}" for number in numbers)]


class _Watch:
    """Watches another's attempt; takes the claim away once the attempt has no owner any more."""

    def __init__(self, attempt_dir: Path, host: str, stale_s: float, label: str) -> None:
        self.attempt_dir = attempt_dir
        self._is_here = _owner(attempt_dir).get("host") == host
        self._stale_s = stale_s
        self._label = label
        self._mtime = 0
        self._silent_s = 0.0
        self._since = self._looked = time.monotonic()
        self._is_told = False

    def look(self) -> None:
        """Look once, and wait a little if the attempt goes on."""
        is_alive = _is_locked(self.attempt_dir / "owner.json") if self._is_here else None
        if is_alive is False:
            self._end("died", "ended without finishing this job")
        elif is_alive is None and self._is_silent():
            self._end("lost", f"has given no sign of life for {self._stale_s:g} s")
        else:
            if not self._is_told:
                who = _owner_text(self.attempt_dir)
                log.info("%s: %s is doing this job; waiting to reuse its result", self._label, who)
                self._is_told = True
            pause_s = 0.05 + 0.05 * (time.monotonic() - self._since)
            time.sleep(min(pause_s, self._stale_s / _BEATS, 1.0))

    def _is_silent(self) -> bool:
        """Only time in which we really looked counts: we, or the file server, may have been away too."""
        now = time.monotonic()
        try:
            with (self.attempt_dir / "claim").open(
                "rb"
            ) as file:  # opened anew: NFS then asks the server
                mtime = os.fstat(file.fileno()).st_mtime_ns
        except OSError:  # it has just ended
            return False
        step = min(now - self._looked, _LONGEST_STEP_S, self._stale_s / 2)
        self._silent_s = self._silent_s + step if mtime == self._mtime else 0.0
        self._mtime, self._looked = mtime, now
        return self._silent_s > self._stale_s

    def _end(self, how: str, why: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # another was faster, or the owner after all
            (self.attempt_dir / "claim").rename(self.attempt_dir / how)
            log.warning("%s: %s %s; taking over", self._label, _owner_text(self.attempt_dir), why)


def _begin(folder: Path, number: int, host: str, stale_s: float) -> Claim | None:
    """Begin attempt ``number``, unless somebody else has."""
    unique = uuid.uuid4().hex[:8]
    prepared = _attempts(folder) / f".{unique}"
    prepared.mkdir(parents=True)
    began = datetime.now().astimezone().isoformat(timespec="seconds")
    owner = {"host": host, "pid": os.getpid(), "began": began, "id": unique}
    (prepared / "owner.json").write_text(json.dumps(owner))
    lock = os.open(prepared / "owner.json", os.O_RDWR)
    try:
        with contextlib.suppress(
            OSError
        ):  # where there are no locks, the other sign of life is left
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.set_inheritable(lock, True)
        (prepared / "claim").touch()
        if _move_in(prepared, _attempts(folder) / str(number), unique):
            return Claim(folder, number, lock, stale_s)
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    shutil.rmtree(prepared, ignore_errors=True)
    return None


def _move_in(prepared: Path, place: Path, unique: str) -> bool:
    try:
        prepared.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
        return _owner(place).get("id") == unique  # a server's late answer
    return True


def _is_locked(path: Path) -> bool | None:
    """Whether a process of this host holds the lock; ``None`` where that cannot be told."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def _owner(attempt_dir: Path) -> Mapping[str, Any]:
    try:
        owner: Mapping[str, Any] = json.loads((attempt_dir / "owner.json").read_text())
    except (OSError, ValueError):
        return {}
    return owner


def _owner_text(attempt_dir: Path) -> str:
    owner = _owner(attempt_dir)
    if not owner:
        return "another process"
    name, pid = str(owner["host"]).partition(" ")[0], owner["pid"]
    is_gone = owner["host"] == this_host() and not Path(f"/proc/{pid}").exists()
    left = ", or what it left behind," if is_gone else ""
    return f"process {pid} on {name} (since {owner['began']}){left}"


def _attempts(folder: Path) -> Path:
    return folder / "attempts"


def _names(directory: Path) -> list[str]:
    """Names in a folder, none where there is none; NFS asks the server for this, but not for one name."""
    try:
        return [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
