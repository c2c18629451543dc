"""A small program between a launcher and a program that it starts: both end together.

    python -I -S supervisor.py LIFELINE COMMAND...

A launcher that is killed with SIGKILL cannot end its programs. So it keeps the writing end of a
pipe, the lifeline; when the launcher is gone, however that happened, the pipe is at its end, and
the supervisor ends its process group: SIGTERM, then SIGKILL. Otherwise it leaves with the program's
own status, or by the signal that ended the program.

It is the program's parent from the start, so there is no moment in which the program could be left
alone. Linux's PR_SET_PDEATHSIG does not exist on macOS, reaches the child only and not what that
starts, and fires when the launcher's thread ends.

Standard library only, and a script: it starts in 10 ms.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable

GRACE_S = 5.0
"""Seconds from SIGTERM to SIGKILL after the end of the launcher."""


def supervise(lifeline: int, start: Callable[[], int]) -> int:
    """Run a program in this process's group, of which this process is the leader, to its end.

    If the launcher ends first, so does this process.

    Args:
        lifeline: Descriptor that is at its end when the launcher has ended.
        start: Starts the program and returns its process id.

    Returns:
        The program's exit status; a negative one is the number of the signal that ended it.
    """
    # SIGTERM to the group is for the program; this one follows it.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    program = start()
    news = select.poll()
    news.register(lifeline, select.POLLIN)
    news.register(ended, select.POLLIN)
    status = _status(program)
    while status is None:
        if lifeline in dict(news.poll()):
            _end_group(program)
        os.read(ended, 1024)
        status = _status(program)
    return status


def main() -> None:
    """Run the program that the command line names; leave as it does."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]

    def start() -> int:
        return os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_CLOSE, lifeline)],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
        )

    try:
        status = supervise(lifeline, start)
    except OSError as error:
        print(f"cannot start {command[0]!r}: {error.strerror}", file=sys.stderr, flush=True)
        status = 127
    _leave(status)


def _status(program: int) -> int | None:
    """Return the program's exit status, negative for a signal; ``None`` while it runs."""
    pid, status = os.waitpid(program, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _end_group(program: int) -> None:
    """End the process group, at last this process itself."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and _status(program) is None:
        time.sleep(0.02)
    os.killpg(0, signal.SIGKILL)


def _leave(status: int) -> None:
    """Leave with an exit status, or by the signal that a negative one stands for."""
    if status < 0:
        number = -status
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(status)


if __name__ == "__main__":
    main()
