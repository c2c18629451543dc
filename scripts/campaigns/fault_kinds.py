"""Kinds of faults: full and faulty disks, damaged files, things that vanish."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fault_toys
from fault_injection import Breakage

MARKER = "failed.txt"
"""File in the project's folder that shows that a call has failed as it should."""

FULL = "No space left on device"
SWEEP = ("--multirun", "jobs.data.executor.num_rows=3,4")
OPTUNA = (*SWEEP, "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=2",
          "hydra.sweeper.max_failures=0", "hydra.sweeper.dir=outputs/sweep",
          "hydra/sweeper/sampler=grid")  # fmt: skip
STORE, RUN = Path("outputs/store"), Path("outputs/run")


def nothing(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """One fault and what must come of it.

    Args:
        name: What happens, and where.
        breakage: Calls that fail in the run.
        before: Called before the run, with the folder of the project and a random source.
        inside: Called in the process of the run, before it begins.
        heal: Called before the same command runs again.
        says: Regular expression, found in the output of a run that failed.
        after_run: True if a complete run comes first.
        must_fail: True if the run cannot be complete.
        may_fail: True if the run may end with ``status``.
        status: Exit status of a run that failed.
        repeats: True if what was finished is gone, and runs again.
        overrides: Arguments of the command.
        clean_up: Called at the end, whatever happened.
        missing: Returns why the fault cannot be made here.
        is_drawn: True if it may fail to happen: the n-th of fewer calls.
    """

    name: str
    breakage: Breakage | None = None
    before: Callable[[Path, random.Random], None] = nothing
    inside: Callable[[], None] = nothing
    heal: Callable[[Path], None] = nothing
    says: str = ""
    after_run: bool = False
    must_fail: bool = False
    may_fail: bool = True
    status: int = 1
    repeats: bool = False
    overrides: Sequence[str] = ()
    clean_up: Callable[[Path], None] = nothing
    missing: Callable[[], str] = field(default=lambda: "")
    is_drawn: bool = False

    def install(self, root: Path) -> None:
        """Make the fault in this process, which is the run's."""
        if self.breakage:
            replace(self.breakage, marker=root / MARKER).install()
        self.inside()


def full(name: str, *calls: str, at: str, says: str = "", **more: Any) -> Fault:
    """A disk that takes nothing more at one place; the message gives the place and the reason."""
    code = more.pop("code", errno.ENOSPC)
    breaks = {key: more.pop(key) for key in ("times", "skip", "torn") if key in more}
    reason = os.strerror(code)
    text = says or f"{at.rstrip('$')}.*{reason}"
    more.setdefault("must_fail", True)
    return Fault(name, Breakage(calls, at, code, **breaks), says=text, **more)


def survived(name: str, *calls: str, at: str, code: int = errno.ENOSPC, **more: Any) -> Fault:
    """A call that fails without harm to the run."""
    breaks = {key: more.pop(key) for key in ("times", "skip", "torn") if key in more}
    return Fault(name, Breakage(calls, at, code, **breaks), may_fail=False, **more)


# Damage of files. Each is found by its place below the project.


def damaged(place: str, **more: Any) -> Fault:
    """A file that holds something else after a complete run."""

    def damage(root: Path, draw: random.Random) -> None:
        for path in sorted(root.glob(place)) or [root / place]:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.is_file() else b""
            path.write_bytes(_harmed(content, draw))

    return Fault(f"damaged {place}", before=damage, after_run=True, may_fail=False, **more)


def _harmed(content: bytes, draw: random.Random) -> bytes:
    cut = draw.randrange(len(content) + 1)
    kinds = [b"", b"[]", b"{}", b"null", b"\xff\xfe\x00", b"[" * 100_000, b"9" * 5000,
             b'{"data": 3}', content[:cut], content[:cut] + b"\x00" * 512,
             content + b"}"]  # fmt: skip
    return draw.choice(kinds)


def turned(place: str, **more: Any) -> Fault:
    """A folder where a file should be, or a file where a folder should be, after a run."""

    def turn(root: Path, draw: random.Random) -> None:
        (path, *_) = sorted(root.glob(place))
        if path.is_dir():
            shutil.rmtree(path)
            path.write_text("in the way")
        else:
            path.unlink()
            path.mkdir()

    def heal(root: Path) -> None:
        for path in root.glob(place):
            is_file = path.is_file() and path.read_bytes() == b"in the way"
            if is_file or (path.is_dir() and not any(path.iterdir())):
                remove(path)

    says = Path(place.rstrip("/*")).name
    return Fault(f"turned {place}", before=turn, heal=heal, after_run=True, says=says, **more)


def in_the_way(place: str, is_folder: bool, **more: Any) -> Fault:
    """Something of another kind lies where a first run wants to write."""

    def put(root: Path, draw: random.Random) -> None:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            path.mkdir()
        else:
            path.write_text("in the way")

    def heal(root: Path) -> None:
        path = root / place
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    kind = "folder" if is_folder else "file"
    more.setdefault("must_fail", True)
    return Fault(f"a {kind} lies at {place}", before=put, heal=heal,
                 says=Path(place).name, **more)  # fmt: skip


# Things that happen while a job runs.


def while_running(name: str, job: str, what: Callable[[Any], None], **more: Any) -> Fault:
    """Trouble inside the run of a job."""
    return Fault(name, inside=lambda: fault_toys.trouble.update({job: what}), **more)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_store_after_plan() -> None:
    from sandbox.running import forced

    recorded = forced.recorded_now

    def remove_first(*given: Any) -> Any:
        shutil.rmtree(STORE, ignore_errors=True)
        return recorded(*given)

    forced.recorded_now = remove_first


def clock_back() -> None:
    now = time.time
    time.time = lambda: now() - 86_400


def wandb_raises_in(place: str) -> Callable[[], None]:
    """Return what puts a wandb in place that raises in one of its functions."""

    def install() -> None:
        class Run:
            def __getattr__(self, name: str) -> Any:
                return {} if name == "config" else lambda *given, **more: fail(name)

        def fail(name: str) -> Any:
            if name == place:
                raise SystemExit(3) if place == "finish" else OSError(errno.EIO, "wandb is ill")
            return Run() if name == "init" else None

        module: Any = types.ModuleType("wandb")
        module.Settings = lambda **more: more
        module.setup = lambda *given, **more: fail("setup")
        module.init = lambda **more: fail("init")
        sys.modules["wandb"] = module

    return install


def few_files() -> None:
    import resource

    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))


def small_files() -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))


# A real small disk.


def _cannot_mount() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "mounting needs root on Linux"
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    return "" if done.returncode == 0 else "mounting is not permitted here"


def mounted(options: str, fill: Callable[[Path], None]) -> dict[str, Any]:
    def mount(root: Path, draw: random.Random) -> None:
        outputs = root / "outputs"
        outputs.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(outputs)]
        subprocess.run(command, check=True)
        fill(outputs)

    def heal(root: Path) -> None:
        (root / "outputs/ballast").unlink(missing_ok=True)
        shutil.rmtree(root / "outputs/many", ignore_errors=True)
        command = ["mount", "-o", "remount,size=20m,nr_inodes=5000", str(root / "outputs")]
        subprocess.run(command, check=True)

    def clean_up(root: Path) -> None:
        subprocess.run(["umount", "-l", str(root / "outputs")], check=False, capture_output=True)

    return {"before": mount, "heal": heal, "clean_up": clean_up, "missing": _cannot_mount}


def nearly_full(left: int) -> Callable[[Path], None]:
    def fill(outputs: Path) -> None:
        stat = os.statvfs(outputs)
        (outputs / "ballast").write_bytes(bytes(stat.f_bavail * stat.f_frsize - left))

    return fill


def hashes_fifo(root: Path, draw: random.Random) -> None:
    path = root / STORE / "hashes.jsonl"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)


def hashes_socket(root: Path, draw: random.Random) -> None:
    (root / STORE).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(root / STORE)  # names of sockets are short
        made.bind("hashes.jsonl")
        os.chdir("/")


def left_claim(owner: bytes) -> Callable[[Path, random.Random], None]:
    """Return what leaves a claim of a process that is gone on every job, and no record."""

    def leave(root: Path, draw: random.Random) -> None:
        for record in (root / STORE).glob("train/*/record.json"):
            attempt = record.parent / "attempts/7"
            attempt.mkdir(parents=True)
            (attempt / "claim").write_bytes(b"\xff")
            (attempt / "owner.json").write_bytes(owner)
            record.unlink()

    return leave
