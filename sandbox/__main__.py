"""Entry of ``sandbox …`` and ``python -m sandbox …``; turns outcomes into exit codes.

0: done. 1: a job failed, or the run was interrupted. 2: the config or the command is wrong.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

_GOES_ON = "what finished is recorded; the same command goes on from there"

COMMANDS = {"doctor": "sandbox.cli.doctor"}
"""Commands by their first word, with the module whose ``main`` takes the other words."""


def main() -> int:
    """Run the command line; return the exit code."""
    logging.raiseExceptions = False  # otherwise every line to a closed output prints an error
    _leave_working_directory()
    try:
        code = _command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has left, which ends nothing else
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        return 0
    return code


def _leave_working_directory() -> None:
    """Take the working directory off ``sys.path``: its files must not shadow packages."""
    here = {"", str(Path.cwd())}
    sys.path[:] = [entry for entry in sys.path if entry not in here]


def _return_to_working_directory() -> None:
    """Put the working directory last on ``sys.path``, if the user has allowed code of their own.

    Hydra imports every plugin that it finds, so it looks before a ``hydra_plugins/`` of the working
    directory is in reach. Without permission nothing there needs to be imported.
    """
    from hydra.core.plugins import Plugins

    from sandbox.components.allowed import users_patterns

    Plugins.instance()
    if users_patterns() and not sys.flags.safe_path:
        sys.path.append(str(Path.cwd()))


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
        code: int = importlib.import_module(COMMANDS[name]).main(words[1:])
        return code
    return _run()


def _run() -> int:
    """Let Hydra run its task; Hydra itself returns 1 for everything."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from sandbox.cli import run
    from sandbox.components.problem import PlanError
    from sandbox.job import JobFailed
    from sandbox.running.run import STARTED

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us
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
    except KeyboardInterrupt:
        return _fail("interrupted", f"{_GOES_ON}{_run_folder()}", 1 if STARTED else 2)
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        if STARTED:
            raise
        details = f"{error}\n{error.__cause__ or ''}".rstrip()
        details += _quoting_hint(details) + _extra_hint(details)
        return _fail("wrong command or config", details, 2)
    return 0


def _report(error: Exception) -> int:
    from sandbox.job import JobFailed

    if isinstance(error, JobFailed):
        return _fail("failed", f"{error}\n{_GOES_ON}{_run_folder()}", 1)
    return _fail("cannot run as written", str(error), 2)


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
    from sandbox.cli.literal_secrets import masked

    details = masked(details, sys.argv[1:])
    print(f"sandbox: {what}:\n  " + details.replace("\n", "\n  "), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
