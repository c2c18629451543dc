"""Start workers as forks of a parent that has their libraries loaded: see ``fork_server``.

A process has up to two such parents, each with an environment of its own, because libraries read
variables when they are imported. They end with the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox.system import process, usage
from sandbox.system.hardware import visible_gpus

FRESH = "SANDBOX_FRESH_WORKERS"
"""Variable of the user that turns this off, if set to anything but 0."""

_FORK_SERVER = str(Path(__file__).with_name("fork_server.py"))
_MOST_PARENTS = 2
_POLL_S = 0.01
_STANDARD = 2  # the highest descriptor of input, output and errors


def is_possible() -> bool:
    """Return True on Linux without a GPU: a process that uses CUDA must not be forked."""
    is_wanted = os.environ.get(FRESH, "0") in ("", "0")
    return is_wanted and sys.platform == "linux" and not visible_gpus(None)


def start(
    command: list[str],
    log_path: Path,
    variables: Mapping[str, str | None] | None,
    cwd: Path | None,
) -> tuple[process.Program, int]:
    """Fork the worker ``[python, program, …]``; where that fails, start it like any program."""
    environment = process.environment(variables)
    key = (Path(command[1]).parent, tuple(sorted(environment.items())))
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        forked = _forked(key, command[1:], log_path, cwd or Path.cwd())
        if forked:
            return forked
    return process.start(command, log_path, variables, cwd)


class ForkedProgram:
    """A worker under its supervisor, which is the leader of the process group ``pid``.

    Args:
        pid: Process id of the supervisor.
        status: Descriptor on which the supervisor reports the exit status.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        os.set_blocking(status, False)

    def poll(self) -> int | None:
        """Return the exit status; ``None`` while the worker runs."""
        if self.returncode is None:
            with contextlib.suppress(BlockingIOError):
                text = os.read(self._status, 256)
                self.returncode, *used = json.loads(text) if text else [-signal.SIGKILL]
                if used:
                    usage.count_program(*used)
                os.close(self._status)
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the worker; return its exit status."""
        while (status := self.poll()) is None:
            time.sleep(_POLL_S)
        return status


class _Parent:
    """A running fork server.

    Args:
        folder: Folder of the workers' programs.
        environment: Environment of the parent and of its workers.
        log_path: Log of the first worker.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], log_path: Path) -> None:
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            other.set_inheritable(True)
            program = [sys.executable, _FORK_SERVER, str(folder), str(other.fileno())]
            self._process, self._lifeline = process.start(program, log_path, environment, None)

    def fork(
        self, command: list[str], log_path: Path, cwd: Path
    ) -> tuple[ForkedProgram, int] | None:
        """Fork a worker; return it and its lifeline, or ``None`` if this parent cannot fork.

        Raises:
            OSError: The parent has ended.
        """
        message = json.dumps({"command": command, "cwd": str(cwd)}).encode()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            lifeline_end, lifeline = _pipe(theirs, ours)
            status, status_end = _pipe(ours, theirs)
            log = theirs.enter_context(log_path.open("ab"))
            descriptors = [log.fileno(), lifeline_end, status_end, *_inheritable()]
            socket.send_fds(self._connection, [message], descriptors)
            answer = self._connection.recv(16)
            if not answer:
                raise ConnectionResetError("the parent of warm workers has ended")
            if answer == b"0":
                return None
            ours.pop_all()
        return ForkedProgram(int(answer), status), lifeline

    def close(self) -> None:
        """End the parent; its workers go on."""
        self._connection.close()
        with usage.uncounted():  # its workers were counted when they ended
            process.end_group(self._process)
        os.close(self._lifeline)

    def forget(self) -> None:
        """Let go of a parent that is another process's."""
        self._connection.close()
        os.close(self._lifeline)


_Key = tuple[Path, tuple[tuple[str, str], ...]]

_parents: dict[_Key, _Parent | None] = {}
"""By folder of the workers and environment the running parents, the last one used at the end.

``None``: the parent could not fork.
"""
_lock = threading.Lock()


def _forked(
    key: _Key, command: list[str], log_path: Path, cwd: Path
) -> tuple[ForkedProgram, int] | None:
    with _lock:
        parent = _parents.pop(key) if key in _parents else _Parent(key[0], dict(key[1]), log_path)
        if parent is None:
            _parents[key] = None
            return None
        try:
            forked = parent.fork(command, log_path, cwd)
        except BaseException:
            parent.close()
            raise
        if forked is None:
            parent.close()
        _parents[key] = parent if forked else None
        while len(_parents) > _MOST_PARENTS:
            oldest = _parents.pop(next(iter(_parents)))
            if oldest:
                oldest.close()
        return forked


def _pipe(
    reading_stack: contextlib.ExitStack, writing_stack: contextlib.ExitStack
) -> tuple[int, int]:
    """Return both ends of a pipe, each closed with its stack."""
    reading, writing = os.pipe()
    reading_stack.callback(os.close, reading)
    writing_stack.callback(os.close, writing)
    return reading, writing


def _inheritable() -> list[int]:
    """Return the descriptors that a program would inherit: locks of claims."""
    found = []
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # that of this listing is closed by now
            if int(path.name) > _STANDARD and os.get_inheritable(int(path.name)):
                found.append(int(path.name))
    return found


def _forget_all() -> None:
    for parent in _parents.values():
        if parent:
            parent.forget()
    _parents.clear()


os.register_at_fork(after_in_child=_forget_all)
