"""The only module that starts programs: arguments, environment, log file, exit status; who still lives."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_GRACE_S = 10.0
_TAIL_LINES = 20
_POLL_S = 0.05


class ProcessError(RuntimeError):
    """A program ended with a status other than 0, or did not start.

    Args:
        message: What happened, with the command, the log file and its last lines.
        returncode: Exit status; negative is the number of the signal that ended it.
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
        argv: Program and arguments; no shell sees them.
        log_path: Log file; made with its folder where it does not exist.
        variables: Environment variables added to this process's own; ``None`` takes one away.
        cwd: Working directory; ``None`` is the present one.
        stdin_text: Text for standard input; ``None`` is no input.
        echo: Whether what the program writes also goes to this process's standard output.

    Raises:
        ProcessError: The program is not there, or its exit status is not 0.
    """
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
    """Like :func:`run`, for a caller that follows the log meanwhile."""
    command = [str(part) for part in argv]
    began = log_path.stat().st_size if log_path.exists() else 0
    echoed = _Echo(log_path, began) if echo else None
    process = _start(command, log_path, variables, cwd, stdin_text is not None)
    pause = _POLL_S / 50
    try:
        if stdin_text is not None:
            await asyncio.to_thread(process.communicate, stdin_text.encode())
        while process.poll() is None:
            await asyncio.sleep(pause)
            pause = min(
                1.5 * pause, _POLL_S
            )  # a program of a few milliseconds is not waited for longer
            if echoed:
                echoed.go_on()
    finally:
        _end_group(process)
        if echoed:
            echoed.go_on()
    if process.returncode != 0:
        raise ProcessError(
            _failure(command, process.returncode, log_path, began), process.returncode
        )


def output(argv: Sequence[str | Path], *, timeout_s: float = 60.0) -> str:
    """Ask a small program that answers at once; returns its standard output.

    Raises:
        ProcessError: It is not there, gave no answer in time, or its exit status is not 0; the message is
            what it said on standard error.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise ProcessError(
            done.stderr.strip() or f"{' '.join(command)}: {done.stdout}", done.returncode
        )
    return done.stdout


def tail(log_path: Path, num_lines: int = _TAIL_LINES, began: int = 0) -> str:
    """The last lines of a log file from byte ``began`` on, as one text."""
    with log_path.open("rb") as file:
        file.seek(max(began, log_path.stat().st_size - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-num_lines:])


class _Echo:
    """Repeats on standard output what is appended to a log file from byte ``offset`` on."""

    def __init__(self, log_path: Path, offset: int) -> None:
        self._log_path = log_path
        self._offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def go_on(self) -> None:
        """Repeat what is new."""
        if not self._log_path.exists():  # the program did not start
            return
        with self._log_path.open("rb") as log:
            log.seek(self._offset)
            new = log.read()
        if new:
            self._offset += len(new)
            sys.stdout.write(self._decoder.decode(new))
            sys.stdout.flush()


def _start(
    command: list[str],
    log_path: Path,
    variables: Mapping[str, str | None] | None,
    cwd: Path | None,
    has_input: bool,
) -> subprocess.Popen[bytes]:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **(variables or {})}
    with log_path.open("ab") as log:
        try:
            # close_fds=False hands on the one inheritable descriptor, the job's claim: while a program
            # outlives its launcher, nobody else starts the same job. A new session keeps Ctrl-C ours.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in environment.items() if value is not None},
                cwd=cwd,
                close_fds=False,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(
                f"cannot start {command[0]!r}: {error.strerror}: {error.filename}"
            ) from error


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the program's process group: TERM, then KILL, at once if interrupted again."""
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
    """The cause as far as it can be told: who ended the program, or its last words; then all the rest."""
    said = tail(log_path, began=began)
    if returncode < 0:
        name = signal.Signals(-returncode).name
        hint = " (often: out of memory)" if -returncode == signal.SIGKILL else ""
        cause = what = f"was ended by signal {name}{hint}"
    else:
        words = [line.strip() for line in said.splitlines() if line.strip()]
        what = f"ended with exit status {returncode}"
        cause = words[-1] if words else f"{what} and said nothing"
        if words and "Traceback" not in said:  # whose last line would be missed below
            said = said.rstrip().rpartition("\n")[0]
    return f"{cause}\n{' '.join(command)}\n{what}; log: {log_path}\n{said}".rstrip()
