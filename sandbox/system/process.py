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

from sandbox.system.follow import FileFollower

_GRACE_S = 10.0
_TAIL_LINES = 20
_POLL_S = 0.05


class ProcessError(RuntimeError):
    """A program ended with a status other than 0, or did not start.

    Args:
        message: The cause, the command, the log file and its last lines.
        returncode: Exit status; a negative one is the number of the signal that ended the program,
            ``None`` means that it did not start.
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
    stdin_text: str | None = None,
    echo: bool = False,
) -> None:
    """Run a program to its end, with standard output and error appended to ``log_path``.

    Args:
        argv: Program and arguments, passed on without a shell.
        log_path: Log file; created with its folder where it does not exist.
        variables: Environment variables added to those of this process; ``None`` removes one.
        cwd: Working directory; ``None``: that of this process.
        stdin_text: Text for standard input; ``None``: no input.
        echo: Also write the program's output to this process's standard output.

    Raises:
        ProcessError: The program does not exist, or its exit status is not 0.
    """
    import asyncio

    asyncio.run(
        run_async(
            argv, log_path=log_path, variables=variables, cwd=cwd, stdin_text=stdin_text, echo=echo
        )
    )


async def run_async(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    variables: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin_text: str | None = None,
    echo: bool = False,
) -> None:
    """Run a program like :func:`run`, while the caller follows its log."""
    import asyncio

    command = [str(part) for part in argv]
    began = log_path.stat().st_size if log_path.exists() else 0
    follower = FileFollower(log_path, began) if echo else None
    process = _start(command, log_path, variables, cwd, stdin_text is not None)
    pause_s = _POLL_S / 50  # so short at first, because some programs end within milliseconds
    try:
        if stdin_text is not None:
            await asyncio.to_thread(process.communicate, stdin_text.encode())
        while process.poll() is None:
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _POLL_S)
            _echo(follower)
    finally:
        _end_group(process)
        _echo(follower)
    if process.returncode != 0:
        raise ProcessError(
            _failure(command, process.returncode, log_path, began), process.returncode
        )


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

    Raises:
        ProcessError: The program does not exist.
    """

    def __init__(self, argv: Sequence[str | Path], *, log_path: Path) -> None:
        self._command = [str(part) for part in argv]
        self._log_path = log_path
        self._began = log_path.stat().st_size if log_path.exists() else 0
        self._process = _start(self._command, log_path, None, None, True, is_dialogue=True)

    def ask(self, text: str, num_lines: int) -> list[str]:
        """Send a text and return the next lines that the program writes, without line ends.

        Raises:
            ProcessError: The program ended before.
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
        """End the program."""
        _end_group(self._process)
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
    with log_path.open("rb") as file:
        file.seek(max(began, log_path.stat().st_size - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-num_lines:])


def _echo(follower: FileFollower | None) -> None:
    if follower is not None:
        sys.stdout.write(follower.read_text())
        sys.stdout.flush()


def _start(
    command: list[str],
    log_path: Path,
    variables: Mapping[str, str | None] | None,
    cwd: Path | None,
    has_input: bool,
    is_dialogue: bool = False,
) -> subprocess.Popen[bytes]:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **(variables or {})}
    with log_path.open("ab") as log:
        try:
            # close_fds=False passes on the one inheritable descriptor, the lock of the job's claim:
            # a program that outlives its launcher keeps others from starting the same job. A
            # dialogue goes on after the job and must not.
            # In a session of its own the program does not receive Ctrl-C; we end it in order.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_dialogue else log,
                stderr=log,
                env={name: value for name, value in environment.items() if value is not None},
                cwd=cwd,
                close_fds=is_dialogue,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(
                f"cannot start {command[0]!r}: {error.strerror}: {error.filename}"
            ) from error


def _end_group(process: subprocess.Popen[bytes]) -> None:
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


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
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
