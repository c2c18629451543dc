"""Start programs: arguments, environment, log file, exit status.

No other module starts any.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sandbox.system.follow import FileFollower

SAFE_PATH = ("PYTHONSAFEPATH", "sandbox")
"""The variable that keeps the working directory off the path of Python programs, set by us.

Programs of components do not inherit it, because they may import files beside their script.
"""

_GRACE_S = 10.0
_GONE_S = 1.0  # not longer: in a container without an init, zombies stay members
_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_TAIL_CHARACTERS = 1000
_POLL_S = 0.05
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Program(Protocol):
    """A running program, the leader of a process group ``pid``."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """Return its exit status; ``None`` while it runs."""

    def wait(self) -> int:
        """Wait for its end; return its exit status."""


class Starter(Protocol):
    """A way to start a program; returns it, and the lifeline by which it ends with us."""

    def __call__(
        self,
        command: list[str],
        log_path: Path,
        variables: Mapping[str, str | None] | None,
        cwd: Path | None,
    ) -> tuple[Program, int]:
        """Start ``command``; the arguments are those of :func:`run`."""


class ProcessError(RuntimeError):
    """A program ended with a status other than 0, or did not start.

    Args:
        message: The cause, the command, the log file and its last lines.
        returncode: Exit status; 127 if the program could not be started, a negative one is the
            number of the signal that ended it, ``None`` means that there is none.
    """

    def __init__(self, message: str, returncode: int | None = None) -> None:
        super().__init__(message)
        self.returncode = returncode


def run(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    variables: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    echo: bool = False,
) -> None:
    """Run a program to its end, without input, its output and errors appended to ``log_path``.

    Args:
        argv: Program and arguments, passed on without a shell.
        log_path: Log file; created with its folder where it does not exist.
        variables: Environment variables added to those of this process; ``None`` removes one.
        cwd: Working directory; ``None``: that of this process.
        echo: Also write the program's output to this process's standard output.

    Raises:
        ProcessError: The program does not exist, or its exit status is not 0.
    """
    import asyncio

    asyncio.run(run_async(argv, log_path=log_path, variables=variables, cwd=cwd, echo=echo))


async def run_async(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    variables: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    echo: bool = False,
    starter: Starter | None = None,
) -> None:
    """Run a program like :func:`run`, while the caller follows its log.

    ``starter`` starts the program; ``None`` is :func:`start`.
    """
    import asyncio

    command = [str(part) for part in argv]
    began = log_path.stat().st_size if log_path.exists() else 0
    follower = FileFollower(log_path, began) if echo else None
    process, lifeline = (starter or start)(command, log_path, variables, cwd)
    pause_s = _POLL_S / 50  # so short at first, because some programs end within milliseconds
    try:
        while process.poll() is None:
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _POLL_S)
            _echo(follower)
    finally:
        end_group(process)
        os.close(lifeline)
        _echo(follower)
    status = process.wait()
    if status != 0:
        raise ProcessError(_failure(command, status, log_path, began), status)


def output(argv: Sequence[str | Path], *, timeout_s: float = 60.0) -> str:
    """Run a small program that ends at once; return its standard output.

    Raises:
        ProcessError: It does not exist, did not end in time, or its exit status is not 0; the
            message is its standard error.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise ProcessError(
            done.stderr.strip() or f"{' '.join(command)}: {done.stdout}", done.returncode
        )
    return done.stdout


class Dialogue:
    """An open program that answers lines with lines; its errors are appended to a log.

    For one thread at a time. The program ends with :meth:`close`, and by itself when its standard
    input ends, which is when this process does, however that ends.

    Args:
        argv: Program and arguments, passed on without a shell.
        log_path: Log file; created with its folder where it does not exist.
    """

    def __init__(self, argv: Sequence[str | Path], *, log_path: Path) -> None:
        self._command = [str(part) for part in argv]
        self._log_path = log_path
        self._began = log_path.stat().st_size if log_path.exists() else 0
        self._is_closed = False
        self._process, self._lifeline = _popen(
            self._command, log_path, environment(None), None, is_dialogue=True
        )

    def ask(self, text: str, num_lines: int) -> list[str]:
        """Send a text and return the next lines that the program writes, without line ends.

        Raises:
            ProcessError: The program does not exist, or ended before.
        """
        assert self._process.stdout is not None
        # Written beside: a program that waits for a reader of its answers reads no further.
        writer = threading.Thread(target=self._write, args=(text.encode(),), daemon=True)
        writer.start()
        try:
            lines = [self._process.stdout.readline() for _ in range(num_lines)]
        except BaseException:  # the next question would get the answers that are still to come
            self.close()
            raise
        finally:
            writer.join()
        if lines and not lines[-1].endswith(b"\n"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            self.close()
            status = self._process.returncode
            raise ProcessError(_failure(self._command, status, self._log_path, self._began), status)
        return [line.rstrip(b"\r\n").decode() for line in lines]

    def close(self) -> None:
        """End the program; closing it again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        end_group(self._process)
        os.close(self._lifeline)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the reader of the answers finds the end
            self._process.stdin.write(content)
            self._process.stdin.flush()


def tail(log_path: Path, num_lines: int = _TAIL_LINES, began: int = 0) -> str:
    """Return the last lines of a log file, from byte ``began`` on, as one text."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(began, log_path.stat().st_size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError as error:  # the program, or a person, has removed its log
        return f"(the log cannot be read: {error.strerror})"
    return "\n".join(line[:_TAIL_CHARACTERS] for line in lines[-num_lines:])


def _echo(follower: FileFollower | None) -> None:
    if follower is not None:
        for text in follower.read_text():
            sys.stdout.write(text)
        sys.stdout.flush()


def start(
    command: list[str],
    log_path: Path,
    variables: Mapping[str, str | None] | None,
    cwd: Path | None,
) -> tuple[Program, int]:
    """Start a program under a supervisor; return both as one, and the lifeline.

    Raises:
        ProcessError: It cannot be started.
    """
    return _popen(command, log_path, environment(variables), cwd, is_dialogue=False)


def _popen(
    command: list[str],
    log_path: Path,
    environment: Mapping[str, str],
    cwd: Path | None,
    *,
    is_dialogue: bool,
) -> tuple[subprocess.Popen[bytes], int]:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    reading, lifeline = os.pipe()
    os.set_inheritable(reading, True)
    with log_path.open("ab") as log:
        try:
            # close_fds=False passes on the inheritable descriptors: the lifeline, and the lock of
            # the job's claim, so that nobody starts the same job before its programs have ended.
            # A dialogue goes on after the job and must not hold its lock.
            # In a session of its own the program does not receive Ctrl-C; we end it in order.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _SUPERVISOR, str(reading), *command],
                stdin=subprocess.PIPE if is_dialogue else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_dialogue else log,
                stderr=log,
                env=environment,
                cwd=cwd,
                close_fds=is_dialogue,
                pass_fds=[reading] if is_dialogue else (),
                start_new_session=True,
            )
        except OSError as error:
            os.close(lifeline)
            raise ProcessError(
                f"cannot start {command[0]!r}: {error.strerror}: {error.filename}"
            ) from error
        finally:
            os.close(reading)
    return process, lifeline


def environment(variables: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the environment of a program; ``None`` removes a variable of this process."""
    inherited = {name: value for name, value in os.environ.items() if (name, value) != SAFE_PATH}
    merged = {**inherited, **(variables or {})}
    return {name: value for name, value in merged.items() if value is not None}


def end_group(process: Program) -> None:
    """End what is left of the program's process group: TERM, then KILL.

    A second interrupt kills at once.
    """
    try:
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()
        # The supervisor may be gone a moment before the program that was killed with it.
        deadline = time.monotonic() + _GONE_S
        while _has_members(process.pid) and time.monotonic() < deadline:
            time.sleep(0.002)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS: zombies only
        return False
    return True


def _signal_group(process: Program, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _failure(command: list[str], returncode: int, log_path: Path, began: int) -> str:
    """Return the error message: the most likely cause first, then the command and the log."""
    output = tail(log_path, began=began)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if returncode < 0:
        name = signal.Signals(-returncode).name
        hint = " (often: out of memory)" if -returncode == signal.SIGKILL else ""
        cause = end = f"was ended by signal {name}{hint}"
    else:
        end = f"ended with exit status {returncode}"
        cause = lines[-1] if lines else f"{end} and wrote nothing"
        # The cause is not repeated, except below a traceback, where its last line would be missed.
        if lines and "Traceback" not in output:
            output = output.rstrip().rpartition("\n")[0]
    return f"{cause}\n{' '.join(command)}\n{end}; log: {log_path}\n{output}".rstrip()
