"""Entry of ``sandbox …`` and ``python -m sandbox …``; turns outcomes into exit codes.

0: done. 1: a job failed, or the run was interrupted. 2: the config or the command is wrong.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from sandbox.system.process import SAFE_PATH

_GOES_ON = "what finished is recorded; the same command goes on from there"

COMMANDS = {"doctor": "sandbox.cli.doctor", "trust": "sandbox.cli.trust"}
"""Commands by their first word, with the module whose ``main`` takes the other words."""


def main() -> int:
    """Run the command line; return the exit code."""
    # Until interrupts_raise(): an interrupt in the middle of an import leaves nothing to tidy up,
    # and libraries turn it into errors of their own.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _leave_working_directory()
    try:
        code = _command(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:  # the reader of our output has left, which ends nothing else
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        return 0
    return code


def _leave_working_directory() -> None:
    """Take the working directory off ``sys.path``: its files must not shadow packages.

    That of the interpreters, too, that launchers and pools of processes start.
    """
    here = {"", str(Path.cwd())}
    sys.path[:] = [entry for entry in sys.path if entry not in here]
    os.environ.setdefault(*SAFE_PATH)


def _return_to_working_directory() -> None:
    """Bring the user's own modules into reach again.

    Hydra imports every plugin that it finds, so it looks before a ``hydra_plugins/`` of the working
    directory is in reach.
    """
    from hydra.core.plugins import Plugins

    from sandbox.components.allowed import reach_working_directory

    Plugins.instance()
    reach_working_directory()


def _command(words: list[str]) -> int:
    if not words:
        from sandbox.cli import listing

        listing.list_experiments()
        return 0
    name = words[0]
    if name not in COMMANDS and re.fullmatch(r"[A-Za-z][\w-]*", name):
        from sandbox.system.wording import did_you_mean

        hint = did_you_mean(name, COMMANDS)
        experiment = f"an experiment is chosen by +experiment={name}"
        return _fail("wrong command", f"there is no command {name!r}; {hint}; {experiment}", 2)
    _return_to_working_directory()
    if name in COMMANDS:
        from sandbox.system.signals import interrupts_raise

        command = importlib.import_module(COMMANDS[name])
        interrupts_raise()
        code: int = command.main(words[1:])
        return code
    return _run()


def _run() -> int:
    """Let Hydra run its task; Hydra itself returns 1 for everything."""
    import logging

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from sandbox.cli import run
    from sandbox.components.problem import PlanError
    from sandbox.job import JobFailed
    from sandbox.running.run import STARTED
    from sandbox.system.files import fault_text

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us
    logging.raiseExceptions = False  # otherwise every line to a closed output prints an error
    try:
        run.main()
    except SystemExit as end:  # a run's own failure, or Hydra's end
        if not isinstance(end.code, Exception):
            raise
        if isinstance(end.code, BrokenPipeError):
            raise end.code from end
        return _report(end.code)
    except (PlanError, JobFailed) as error:
        return _report(error)
    except BrokenPipeError:
        raise
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        fault = _fault_behind(error, any_kind=bool(STARTED))
        if fault is not None:
            return _report(JobFailed(fault_text(fault)))
        if STARTED:
            raise
        details = f"{error}\n{error.__cause__ or ''}".rstrip()
        details += _quoting_hint(details) + _extra_hint(details)
        return _fail("wrong command or config", details, 2)
    return 0


def _fault_behind(error: BaseException | None, any_kind: bool) -> OSError | None:
    """Return the fault of the machine, such as a full disk, that led to an error.

    Args:
        error: The error.
        any_kind: True if any error of the operating system counts, because the command was right.
    """
    from sandbox.system.files import is_fault

    while error is not None:
        if isinstance(error, OSError) and (any_kind or is_fault(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def _report(error: Exception) -> int:
    from sandbox.job import JobFailed

    if isinstance(error, JobFailed):
        return _fail("failed", f"{error}\n{_GOES_ON}{_run_folder()}", 1)
    return _fail("cannot run as written", str(error), 2)


def _interrupted() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of an impatient person
    return _fail("interrupted", f"{_GOES_ON}{_run_folder()}", 1)


def _run_folder() -> str:
    from sandbox.running.run import STARTED

    return f"\nrun folder: {STARTED[-1]}" if STARTED and STARTED[-1].is_dir() else ""


def _extra_hint(details: str) -> str:
    """Return what installs a sweeper or launcher that Hydra does not find."""
    is_missing = re.search(r"Could not find 'hydra/(sweeper|launcher)/", details)
    if not is_missing or find_spec("optuna"):
        return ""
    return "\noptuna, joblib and submitit are not installed; pip install 'sandbox[sweeps]'"


def _quoting_hint(details: str) -> str:
    """Return how to quote a value whose signs or functions Hydra's grammar takes apart."""
    for key, example in (
        ("targets", "targets=['score.CIDEr >= 0.5']"),
        ("objective", "objective='max(score.CIDEr)'"),
    ):
        if f"string: {key}=" in details:
            return f'\nquote it for the shell and once more inside: "{example}"'
    if "missing EQUAL at '<EOF>'" in details:
        return "\nexpected key=value; an experiment is chosen by +experiment=NAME"
    return ""


def _fail(what: str, details: str, code: int) -> int:
    from sandbox.cli.messages import brief, masked

    details = brief(masked(details, sys.argv[1:]))
    print(f"sandbox: {what}:\n  " + details.replace("\n", "\n  "), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
