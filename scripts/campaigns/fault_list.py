"""The faults of the campaign: full and faulty disks, damaged files, things that vanish."""

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

    def install(self, root: Path) -> None:
        """Make the fault in this process, which is the run's."""
        if self.breakage:
            replace(self.breakage).install()
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
                _remove(path)

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


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_store_after_plan() -> None:
    from sandbox.running import run

    recorded = run.recorded_now

    def remove_first(*given: Any) -> Any:
        shutil.rmtree(STORE, ignore_errors=True)
        return recorded(*given)

    run.recorded_now = remove_first


def _clock_back() -> None:
    now = time.time
    time.time = lambda: now() - 86_400


def _wandb(place: str) -> Callable[[], None]:
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


def _few_files() -> None:
    import resource

    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))


def _small_files() -> None:
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


def _mounted(options: str, fill: Callable[[Path], None]) -> dict[str, Any]:
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


def _nearly_full(left: int) -> Callable[[Path], None]:
    def fill(outputs: Path) -> None:
        stat = os.statvfs(outputs)
        (outputs / "ballast").write_bytes(bytes(stat.f_bavail * stat.f_frsize - left))

    return fill


def _fifo(root: Path, draw: random.Random) -> None:
    path = root / STORE / "hashes.jsonl"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)


def _socket(root: Path, draw: random.Random) -> None:
    (root / STORE).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(root / STORE)  # names of sockets are short
        made.bind("hashes.jsonl")
        os.chdir("/")


def _left_claim(owner: bytes) -> Callable[[Path, random.Random], None]:
    """Return what leaves a claim of a process that is gone on every job, and no record."""

    def leave(root: Path, draw: random.Random) -> None:
        for record in (root / STORE).glob("train/*/record.json"):
            attempt = record.parent / "attempts/7"
            attempt.mkdir(parents=True)
            (attempt / "claim").write_bytes(b"\xff")
            (attempt / "owner.json").write_bytes(owner)
            record.unlink()

    return leave


RECORD, OUT = "outputs/store/train/*/record.json", "/out/"

FAULTS: list[Fault] = [
    full("no inodes for the run folder", "mkdir", at="outputs/run$"),
    full(".hydra/ on a full disk", "write", at=r"\.hydra/config\.yaml"),
    full("no inode for .hydra/", "open", at=r"\.hydra/config\.yaml"),
    full("no inode for sandbox.log", "open", at=r"sandbox\.log"),
    survived("sandbox.log on a full disk", "write", at=r"sandbox\.log"),
    full("links on a full disk", "symlink", at="outputs/run/jobs/train"),
    full("no inodes for the folder of links", "mkdir", at="outputs/run/jobs/score"),
    full("context_infos.json on a full disk", "write", at=r"context_infos\.json"),
    full("context_infos.json over the quota", "fsync", at=r"context_infos\.json",
         code=errno.EDQUOT, skip=2),
    full("context_infos.json on a disk that fails", "fsync", at=r"context_infos\.json",
         code=errno.EIO),
    full("context_infos.json on a read-only disk", "open", at=r"context_infos\.json",
         code=errno.EROFS),
    full("metrics of the run on a full disk", "write", at=r"outputs/run/metrics\.jsonl"),
    full("no inode for the metrics of the run", "open", at=r"outputs/run/metrics\.jsonl"),
    survived("metrics of the run, full for a while", "write", at=r"outputs/run/metrics\.jsonl",
             times=3),
    survived("metrics of the run, torn line", "write", at=r"outputs/run/metrics\.jsonl",
             times=2, skip=1, torn=True),
    full("metrics of the run, torn for ever", "write", at=r"outputs/run/metrics\.jsonl",
         skip=2, torn=True),
    full("metrics of a job on a full disk", "write", at=r"store/train/.*metrics\.jsonl"),
    full("metrics of a job, torn", "write", at=r"store/train/.*metrics\.jsonl", torn=True),
    full("record on a full disk", "write", at="attempts/1/claim", says=f"record.json: {FULL}"),
    full("record, torn", "write", at="attempts/1/claim", torn=True, says=f"record.json: {FULL}"),
    full("record that cannot be renamed", "rename", at=r"record\.json", code=errno.EIO),
    full("folder of attempts without inodes", "mkdir", at="attempts"),
    full("owner on a full disk", "write", at=r"owner\.json"),
    full("config.yaml of a job on a full disk", "write", at=r"store/.*config\.yaml",
         says=f"config.yaml.*{FULL}"),
    full("log of a job without inode", "open", at=r"logs/1\.log"),
    full("outputs on a full disk", "write", at=r"out/model\.json", says=FULL),
    full("store that cannot be listed", "list", at="attempts", code=errno.EIO),
    survived("hashes on a full disk", "write", at=r"hashes\.jsonl"),
    survived("hashes on a read-only disk", "open", at=r"hashes\.jsonl", code=errno.EROFS),
    survived("hashes that cannot be read", "read", at=r"hashes\.jsonl", code=errno.EIO,
             after_run=True),
    full("data that cannot be read", "read", at=r"out/data\.jsonl", code=errno.EIO),
    full("a record that cannot be read", "read", at=r"train/.*record\.json", code=errno.EIO,
         after_run=True),
    full("data of another user", "read", at=r"out/data\.jsonl", code=errno.EACCES),
    full("a store of another user", "mkdir", at="outputs/store$", code=errno.EACCES, status=2),
    damaged(RECORD), damaged("outputs/store/*/*/record.json"),
    damaged("outputs/store/*/*/attempts/1/owner.json"),
    damaged("outputs/store/hashes.jsonl"), damaged("outputs/store/train/x/slurm.json"),
    damaged("outputs/run/metrics.jsonl"), damaged("outputs/run/context_infos.json"),
    damaged("outputs/store/*/*/metrics.jsonl"), damaged("outputs/store/*/*/config.yaml"),
    damaged("outputs/sweep/.forced.json", overrides=(*SWEEP, "force=[data]")),
    Fault("damaged study journal", before=damaged("outputs/sweep/study.journal").before,
          after_run=True, status=2, says="study.journal|journal",
          heal=lambda root: _remove(root / "outputs/sweep"), overrides=OPTUNA),
    Fault("claim of a process that is gone", before=_left_claim(b'{"host": "x", "pid": 3}'),
          after_run=True, may_fail=False),
    Fault("claim without an owner", before=_left_claim(b"\x00"), after_run=True, may_fail=False),
    turned(RECORD, may_fail=False), turned("outputs/run/context_infos.json", must_fail=True),
    turned("outputs/run/metrics.jsonl", must_fail=True), turned("outputs/run/jobs"),
    turned("outputs/store/hashes.jsonl", may_fail=False), turned("outputs/store", status=2),
    turned("outputs/store/train/*/out", may_fail=False), turned("outputs/store/train/*/logs"),
    turned("outputs/store/train/*/attempts"), turned("outputs/store/train/*"),
    in_the_way("outputs/store", False, status=2), in_the_way("outputs/run/jobs", False),
    in_the_way("outputs/store/train", False),
    in_the_way("outputs/store/hashes.jsonl", True, must_fail=False, may_fail=False),
    in_the_way("outputs/run/context_infos.json", True),
    in_the_way("outputs/run/metrics.jsonl", True), in_the_way("outputs/run", False, status=2),
    Fault("hashes.jsonl is a FIFO", before=_fifo, may_fail=False),
    Fault("hashes.jsonl is a socket", before=_socket, may_fail=False),
    Fault("clock set back", inside=_clock_back, after_run=True, may_fail=False,
          overrides=("force=[data]",)),
    while_running("log removed while running", "train", lambda scope: _remove(scope.log_path),
                  may_fail=False),
    while_running("folder of logs removed while running", "train",
                  lambda scope: _remove(scope.log_path.parent)),
    while_running("output folder removed while running", "train",
                  lambda scope: _remove(scope.output_dir), must_fail=True, says="out"),
    while_running("job folder removed while running", "train",
                  lambda scope: _remove(scope.output_dir.parent), must_fail=True, says="train"),
    while_running("run folder removed while running", "train", lambda scope: _remove(RUN),
                  must_fail=True, says="outputs/run"),
    while_running("metrics of the run replaced while running", "score",
                  lambda scope: (RUN / "metrics.jsonl").replace(RUN / "aside"),
                  must_fail=True, says="metrics.jsonl"),
    full("stale handle once, context", "open", at=r"context_infos\.json", code=errno.ESTALE,
         times=1),
    survived("stale handle once, metrics", "write", at=r"outputs/run/metrics\.jsonl",
             code=errno.ESTALE, times=1),
    full("stale handle once, claim", "open", at="attempts/1/claim", code=errno.ESTALE, times=1),
    Fault("store deleted between plan and run", inside=_remove_store_after_plan, after_run=True,
          may_fail=False, repeats=True),
    *(Fault(f"wandb raises in {place}", inside=_wandb(place), may_fail=False,
            overrides=("watcher.mode=offline",)) for place in ("setup", "init", "log", "finish")),
    Fault("too few open files", inside=_few_files, says="Too many open files"),
    Fault("small files only", inside=_small_files, must_fail=True, says="File too large"),
    full("sweep: no inode for a trial's file", "open", at=r"trial\.json", overrides=OPTUNA),
    full("sweep: result of a trial on a full disk", "write", at=r"result\.json",
         overrides=OPTUNA, says=FULL, must_fail=False),
    full("sweep: journal on a full disk", "write", at=r"study\.journal", overrides=OPTUNA,
         says=f"outputs/sweep.*{FULL}"),
    full("sweep: table on a full disk", "write", at=r"trials\.csv", overrides=OPTUNA),
    full("sweep: folder without inodes", "mkdir", at="outputs/sweep", overrides=SWEEP),
    full("sweep: forced jobs on a full disk", "write", at=r"\.forced\.json",
         overrides=(*SWEEP, "force=[data]")),
    Fault("a real full disk", must_fail=True, says=FULL, **_mounted("size=1m", _nearly_full(0))),
    Fault("a real disk that fills up", says=FULL, **_mounted("size=1m", _nearly_full(60_000))),
    Fault("a real disk without inodes", must_fail=True, says=FULL,
          **_mounted("size=8m,nr_inodes=30", nothing)),
]  # fmt: skip

FAULTS = [*FAULTS[::3], *FAULTS[1::3], *FAULTS[2::3]]  # a short form has some of every kind


def drawn(draw: random.Random) -> Fault:
    """Draw a fault: some call, the n-th on any file of ours, fails once or from then on."""
    calls = draw.choice(["open", "write", "mkdir", "symlink", "rename", "fsync", "list", "read"])
    code = draw.choice([errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE])
    skip, times = draw.randrange(25), draw.choice([1, 2, None])
    name = f"{calls} {skip} fails with {errno.errorcode[code]}, {times or 'all'} times"
    breakage = Breakage((calls,), "outputs/", code, times, skip, torn=draw.random() < 0.5)
    # A read-only or unlistable store before start may count as a wrong setting.
    return Fault(name, breakage, says=os.strerror(code), after_run=draw.random() < 0.2)
