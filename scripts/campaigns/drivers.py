"""Drivers that a campaign forks: the real command line, in a process that has imported everything.

A driver costs a quarter of a second instead of several. The campaign's own process must have one
thread only: a fork copies locks, but not the threads that would release them.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
MARKER = "COUNTING_DRIVER"
POLL_S = 0.005


def prepare(root: Path, experiments: Mapping[str, str]) -> None:
    """Make a project in ``root``, the new working directory, and the settings of its drivers.

    To be called before anything of sandbox is imported, which reads some settings at import.

    Args:
        root: An empty folder.
        experiments: Experiments by name, in YAML.
    """
    folder = root / "conf" / "experiment"
    folder.mkdir(parents=True)
    for name, text in experiments.items():
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    os.chdir(root)
    os.environ |= {
        "SANDBOX_ALLOW_TARGETS": "counting.*",
        "XDG_CONFIG_HOME": str(root / "settings"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}",
        "COUNTING_LEDGER": str(root / "ledger"),
    }
    sys.path[:0] = [str(HERE.parents[1]), str(HERE)]


def warm_up(command: Sequence[str], root: Path) -> None:
    """Import and read what a driver with this command does, so that forks find it there."""
    path = root / "modules.json"
    names = lambda: path.write_text(json.dumps([*sys.modules]))  # noqa: E731
    first = start(command, root / "warm_up", then=names)
    status = first.wait(300)
    if status != 0:
        raise RuntimeError(f"the first driver ended with {status}:\n{first.text()}")
    for name in json.loads(path.read_text()):
        if name not in sys.modules and not name.startswith("__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    _fill_caches(command)
    gc.collect()
    gc.freeze()
    if num_threads() > 1:
        raise RuntimeError(f"{num_threads()} threads: this process cannot be forked safely")


def _fill_caches(command: Sequence[str]) -> None:
    """Parse a config and the sources of the toys once: the parsers remember what they have seen."""
    import hydra

    from sandbox.components.allowed import ALLOWED
    from sandbox.hydra_search_path import CONF
    from sandbox.planning.plan import plan
    from sandbox.planning.resolvers import register_resolvers
    from sandbox.store.sources import sources_of

    register_resolvers()
    with hydra.initialize_config_dir(config_dir=str(CONF)):
        checked = plan(hydra.compose("config", overrides=[*command]), ALLOWED)
    for spec in checked.jobs:
        sources_of(spec.config, ALLOWED)


def num_threads() -> int:
    """Return the number of threads of this process, also those that Python does not know."""
    return psutil.Process().num_threads()


@dataclass
class Driver:
    """A forked driver.

    Args:
        pid: Its process, the leader of a process group.
        marker: Text in the environment of every program that it starts.
        log_path: What it prints.
        began: When it began (epoch).
        status: Exit status as ``waitstatus_to_exitcode`` gives it; ``None`` while it runs.
        ended: When its end was seen, on the monotonic clock.
    """

    pid: int
    marker: str
    log_path: Path
    began: float = field(default_factory=time.time)
    status: int | None = None
    ended: float = 0.0

    def poll(self) -> int | None:
        """Return the exit status if it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.ended = time.monotonic()
        return self.status

    def wait(self, longest_s: float, until: Callable[[], bool] = lambda: False) -> int | None:
        """Wait for its end, or for a condition; return the exit status, ``None`` while it runs."""
        deadline = time.monotonic() + longest_s
        while self.poll() is None and not until() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.status

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.pid, number)

    def stacks(self) -> None:
        """Let it print what all its threads do, then end it."""
        self.signal(signal.SIGUSR1)
        self.wait(1)
        self.signal(signal.SIGKILL, group=True)
        self.wait(10)

    def text(self) -> str:
        """Return what it has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


def start(
    command: Sequence[str],
    log_path: Path,
    marker: str = "first",
    variables: Mapping[str, str] | None = None,
    before: Callable[[], None] = lambda: None,
    then: Callable[[], object] = lambda: None,
) -> Driver:
    """Fork a driver with a command line of ``sandbox``.

    Args:
        command: Words after ``sandbox``.
        log_path: File for what it prints.
        marker: Text that its programs have in their environment.
        variables: Further environment variables.
        before: Called in the driver before it begins.
        then: Called in the driver after its command has ended.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Driver(pid, marker, log_path)
    code = 70
    try:
        os.setsid()
        _redirect(log_path)
        faulthandler.register(signal.SIGUSR1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have ignored it
        os.environ |= {MARKER: marker, **(variables or {})}
        sys.argv = ["sandbox", *command]
        before()
        code = _status()
        then()
    finally:
        # as the interpreter ends, but without going back into the campaign's own code
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise AssertionError


def _redirect(log_path: Path) -> None:
    file = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    os.close(file)
    os.close(null)


def _status() -> int:
    """Run ``python -m sandbox``; return the exit status that Python would give the program."""
    from sandbox import __main__ as program

    sys.modules["__main__"] = program  # processes of compute=local look for their main module
    try:
        code: object = program.main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def processes(markers: Iterable[str]) -> dict[str, list[psutil.Process]]:
    """Return the living processes by the marker in their environment."""
    found: dict[str, list[psutil.Process]] = {marker: [] for marker in markers}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            marker = process.environ().get(MARKER, "")
            if marker in found:
                found[marker].append(process)
    return found


def lines_of(ledger: Path) -> list[dict[str, object]]:
    """Return the lines of a ledger."""
    text = ledger.read_text() if ledger.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
