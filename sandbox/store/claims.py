"""Claims on element jobs: one process does a job, on whatever host; the others wait and reuse.

<folder>/attempts/<n>/  owner.json  claim

The folder of an attempt appears complete, by a rename that fails where its number is taken, and it
stays for ever: attempt n + 1 begins only when attempt n has ended. The file ``claim`` is there
while the attempt goes on. Renaming that one file ends the attempt: the owner renames it to the
job's record or to ``failure.json``; whoever takes the job over renames it to ``died`` or ``lost``.
A rename has one winner. So an owner that comes back late cannot commit a job that was taken over,
and only one process takes it over.

The owner shows that it is alive by a lock on ``owner.json`` and by the modification time of
``claim`` (see ``sandbox.system.liveness``). Programs that it starts inherit the lock: a program
that outlives its killed owner still holds the job.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.system.files import named, sync_directory, write_all
from sandbox.system.liveness import (
    Observer,
    Owner,
    OwnerState,
    Pulse,
    beat_interval_s,
    lost_after_s,
    write_and_lock,
)

log = logging.getLogger(__name__)

_BETWEEN_ATTEMPTS_S = 0.05
_LONGEST_PAUSE_S = 1.0
_LEFT = ".left"


class ClaimLost(RuntimeError):
    """Another process took the job over while this one sent no heartbeat."""


class Claim:
    """A held claim: attempt ``number`` at the job of ``folder``.

    Args:
        folder: Folder of the job.
        number: Number of the attempt, from 1.
        lock: Descriptor that holds the lock on ``owner.json``.
    """

    def __init__(self, folder: Path, number: int, lock: int) -> None:
        self.folder = folder
        self.number = number
        self.attempt_dir = _attempts(folder) / str(number)
        self._path = self.attempt_dir / "claim"
        self._lock = lock
        # Without a buffer, which would keep what a full disk has refused.
        self._file = os.open(self._path, os.O_RDWR)
        self._pulse = Pulse(self._file, self._check_is_held)

    @property
    def is_held(self) -> bool:
        """True while no other process has taken the job over."""
        return "claim" in _names(self.attempt_dir)

    def ensure_held(self) -> None:
        """Check that no other process has taken the job over.

        Raises:
            ClaimLost: One has.
        """
        if not self.is_held:
            raise ClaimLost(self._takeover_text())

    def end_as(self, path: Path, text: str) -> None:
        """End the attempt: the claim becomes the file ``path`` with this text, durably and at once.

        Raises:
            ClaimLost: Another process has taken the job over; ``path`` is unchanged.
        """
        self._pulse.stop()
        # Checked before writing: once the claim has become a file, that file must not change.
        self.ensure_held()
        with named(path):
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            write_all(self._file, text.encode())
            os.fsync(self._file)
        try:
            self._path.rename(path)
        except FileNotFoundError as error:
            # On NFS a repeated request may fail although the first one succeeded.
            if not self._has_become(path):
                raise ClaimLost(self._takeover_text()) from error
        sync_directory(path.parent)

    def release(self) -> None:
        """Give the job free, whether or not the attempt has ended."""
        self._pulse.stop()
        _remove_litter(_attempts(self.folder))
        # If it stays, the next process sees that its lock is gone.
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._file)
        # Explicitly: closing would not unlock what a program left behind has inherited.
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)

    def _check_is_held(self) -> bool:
        if not self.is_held:
            log.warning("%s", self._takeover_text())
            return False
        return True

    def _has_become(self, path: Path) -> bool:
        return path.exists() and os.path.samestat(path.stat(), os.fstat(self._file))

    def _takeover_text(self) -> str:
        winner = _owner_text(_attempts(self.folder) / str(self.number + 1))
        return (
            f"{self.folder.parent.name}: attempt {self.number} sent no heartbeat for too long"
            f" (was it suspended?) and {winner} took the job over;"
            " what this attempt makes is not recorded"
        )


def take(folder: Path, label: str, is_done: Callable[[], bool]) -> Claim | None:
    """Claim a job; waits while another process holds it.

    Args:
        folder: Folder of the job.
        label: Name of the job in the log.
        is_done: Returns whether nothing is left to do; called whenever nobody holds the job.

    Returns:
        The claim, or ``None`` if the job is done.
    """
    lost_after_s()  # a wrong setting is an error now, not in the middle of a wait
    held: _HeldAttempt | None = None
    while True:
        numbers = [int(name) for name in _names(_attempts(folder)) if name.isdigit()]
        number = max(numbers, default=0)
        attempt_dir = _attempts(folder) / str(number)
        if "claim" in _names(attempt_dir):
            if held is None or held.attempt_dir != attempt_dir:
                held = _HeldAttempt(attempt_dir, label)
            held.wait()
            continue
        _names(folder)  # makes a network file system look for the record again
        if is_done():
            return None
        claim = _begin(folder, number + 1)
        if claim:
            _remove_litter(folder)
            return claim
        time.sleep(_BETWEEN_ATTEMPTS_S)


def work_dirs(folder: Path) -> list[Path]:
    """Return the folders in which attempts at a job work or have worked, the current one last.

    All attempts share one folder, but after a lost attempt there is a new one: programs of the lost
    attempt may still be writing, on another host.
    """
    numbers = sorted(int(path.parent.name) for path in _attempts(folder).glob("*/lost"))
    return [folder, *(folder / f"after_{number}" for number in numbers)]


class _HeldAttempt:
    """An attempt of another process, whose claim is taken away when its owner is gone."""

    def __init__(self, attempt_dir: Path, label: str) -> None:
        self.attempt_dir = attempt_dir
        self._claim_path = attempt_dir / "claim"
        self._label = label
        self._observer = Observer(attempt_dir / "owner.json", self._claim_path)
        self._is_logged = False

    def wait(self) -> None:
        """Look once at the owner; pause if the attempt goes on, else take its claim away."""
        state = self._observer.state()
        if state is OwnerState.ENDED:
            self._end_as("died", "ended without finishing this job")
        elif state is OwnerState.SILENT:
            self._end_as("lost", f"sent no heartbeat for {lost_after_s():g} s")
        else:
            self._log_once()
            pause_s = 0.05 + 0.05 * self._observer.observed_s
            time.sleep(min(pause_s, beat_interval_s(), _LONGEST_PAUSE_S))

    def _end_as(self, name: str, reason: str) -> None:
        # Another process may have been faster, or the owner after all.
        with contextlib.suppress(FileNotFoundError):
            self._claim_path.rename(self.attempt_dir / name)
            owner = _owner_text(self.attempt_dir)
            log.warning("%s: %s %s; taking over", self._label, owner, reason)

    def _log_once(self) -> None:
        if not self._is_logged:
            owner = _owner_text(self.attempt_dir)
            log.info("%s: %s is doing this job; waiting to reuse its result", self._label, owner)
            self._is_logged = True


def _begin(folder: Path, number: int) -> Claim | None:
    """Begin attempt ``number``; ``None`` if another process has begun it."""
    owner = Owner.this_process()
    prepared = _attempts(folder) / f".{owner.id}"
    prepared.mkdir(parents=True)
    try:
        return _begin_prepared(prepared, folder, number, owner)
    except FileNotFoundError:  # another process has had the job meanwhile, and cleaned up
        return None
    finally:
        shutil.rmtree(prepared, ignore_errors=True)


def _begin_prepared(prepared: Path, folder: Path, number: int, owner: Owner) -> Claim | None:
    lock = write_and_lock(prepared / "owner.json", owner)
    try:
        # Programs that the owner starts then hold the lock too; see the top of this module.
        os.set_inheritable(lock, True)
        (prepared / "claim").touch()
        if _move(prepared, _attempts(folder) / str(number), owner):
            return Claim(folder, number, lock)
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _remove_litter(folder: Path) -> None:
    """Remove half-made files and folders of killed processes, whose names begin with a dot.

    In a job's folder only the holder of its claim may do so. In ``attempts`` a living process may
    prepare an attempt meanwhile: it finds its folder gone and begins again. A folder gets another
    name first: a rename has one winner, so that no attempt that has just begun is emptied.
    """
    for path in folder.glob(".*"):
        with contextlib.suppress(OSError):
            left = path
            if not path.name.startswith(_LEFT):
                left = path.rename(path.with_name(f"{_LEFT}{path.name}"))
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def _move(prepared: Path, attempt_dir: Path, owner: Owner) -> bool:
    """Rename a prepared folder to an attempt's; return whether the attempt is ours."""
    try:
        prepared.rename(attempt_dir)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
        # On NFS a repeated request may fail although the first one succeeded.
        return Owner.read(attempt_dir / "owner.json") == owner
    return True


def _owner_text(attempt_dir: Path) -> str:
    owner = Owner.read(attempt_dir / "owner.json")
    return str(owner) if owner else "another process"


def _attempts(folder: Path) -> Path:
    return folder / "attempts"


def _names(directory: Path) -> list[str]:
    """Return the names in a folder, none where it does not exist.

    NFS asks the server for a whole folder, but may answer from memory for a single name.
    """
    try:
        return [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
