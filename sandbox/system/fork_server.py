"""Parent of warm workers: a program that has imported what workers need, and forks them.

    python fork_server.py FOLDER SOCKET

Importing torch, transformers and peft takes seconds, a fork milliseconds. For every worker the
launcher sends one message: the command and its working directory as JSON, with the descriptors of
the log, the lifeline, the status, and all else that a program inherits. The answer is a process id;
0 means that this parent cannot fork, so that the launcher starts a process of its own.

Before the first fork of a worker its module is imported here, and its ``preload()`` called, where
it has one. If that fails, it fails once more in the worker, where the message belongs. The worker
runs its program as ``__main__``, from the beginning, under a supervisor that is a fork, too.

Only a process of one thread may fork, and only one that has not initialised CUDA.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import resource
import runpy
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any

# Our folder is not on the path under PYTHONSAFEPATH, and must not stay there otherwise: its modules
# have common names.
_HERE = str(Path(__file__).parent)
sys.path[:] = [_HERE, *(entry for entry in sys.path if entry != _HERE)]
import supervisor  # noqa: E402

del sys.path[0]

# OpenBLAS (numpy) and jemalloc (pyarrow) start threads when they are loaded.
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_LONGEST_MESSAGE = 1 << 18
_MOST_DESCRIPTORS = 64


class _InWorker(BaseException):
    """Raised in a new worker, which leaves the code of its parents by it."""


def main() -> None:
    """Serve until the launcher closes the socket; in a worker, run its program."""
    folder, descriptor = sys.argv[1], int(sys.argv[2])
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=descriptor) as connection:
        request = _serve(connection)
    if request is None:
        return
    os.chdir(request["cwd"])
    sys.argv = request["command"]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a worker for every message; return the request in the worker, ``None`` at the end."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(
            connection, _LONGEST_MESSAGE, _MOST_DESCRIPTORS
        )
        if not message:
            return None
        request: dict[str, Any] = json.loads(message)
        log, lifeline, status, *inherited = descriptors
        _preload(Path(request["command"][0]).stem, log)
        pid = 0
        if _can_fork():
            pid = os.fork()
            if pid == 0:
                connection.detach()  # closed with all else that is not the worker's
                _become_worker(log, lifeline, status, inherited)
                return request
        connection.send(str(pid).encode())
        for descriptor in descriptors:
            os.close(descriptor)


def _become_worker(log: int, lifeline: int, status: int, inherited: list[int]) -> None:
    """Supervise a worker; return only in the worker."""
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        code = supervisor.supervise(lifeline, _fork)
    except _InWorker:
        _refresh()
        for descriptor in {int(path.name) for path in Path("/dev/fd").iterdir()} - {0, 1, 2}:
            if descriptor in inherited:
                os.set_inheritable(descriptor, True)
            else:
                with contextlib.suppress(OSError):  # that of this listing is closed by now
                    os.close(descriptor)
        return
    # The launcher is no parent of the worker, so the system does not tell it what the worker used.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = [code, used.ru_utime + used.ru_stime, used.ru_maxrss, used.ru_oublock]
    os.write(status, json.dumps(report).encode())
    # Until the launcher has read it: the process id still stands for this group then.
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _fork() -> int:
    pid = os.fork()
    if pid == 0:
        raise _InWorker
    return pid


def _refresh() -> None:
    """Give a worker what a new process has of its own: signals and random numbers."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _preload(name: str, log: int) -> None:
    """Import a worker and what it preloads, with its log as output, in an unchanged environment."""
    if name in sys.modules:
        return
    environment, output = dict(os.environ), (os.dup(1), os.dup(2))
    os.dup2(log, 1)
    os.dup2(log, 2)
    for variable, value in _NO_THREADS.items():
        os.environ.setdefault(variable, value)
    try:
        module = importlib.import_module(name)
        getattr(module, "preload", int)()
    except BaseException:  # noqa: S110  fails once more in the worker, with its message
        pass
    finally:
        os.environ.clear()
        os.environ.update(environment)
        for number, descriptor in enumerate(output, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    gc.collect()
    gc.freeze()  # collections in workers then touch none of these objects, and copy no pages


def _can_fork() -> bool:
    torch = sys.modules.get("torch")
    has_cuda = torch is not None and torch.cuda.is_initialized()
    return len([*Path("/proc/self/task").iterdir()]) == 1 and not has_cuda


def _reap(number: int, frame: FrameType | None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
