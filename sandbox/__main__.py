"""``python -m sandbox``: runs :func:`sandbox.app.main` and turns outcomes into exit codes.

0: done. 1: a job failed, or the run was interrupted. 2: the config or the command is wrong.
"""

from __future__ import annotations

import logging
import os
import sys

_GOES_ON = "what finished is recorded; the same command goes on from there"


def main() -> int:
    """Run the command line; returns the exit code. Whoever closes our output ends nothing but it."""
    logging.raiseExceptions = False  # a closed output would be told of at every line
    try:
        code = _main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        return 0
    return code


def _main() -> int:
    """Hydra itself returns 1 for everything."""
    from sandbox import app

    if len(sys.argv) == 1:
        app.list_experiments()
        return 0
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from sandbox.job import JobFailed
    from sandbox.plan import PlanError

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us
    try:
        app.main()
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
        return _say("interrupted", f"{_GOES_ON}{_run_folder()}", 1 if app.STARTED else 2)
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        if app.STARTED:
            raise
        details = f"{error}\n{error.__cause__ or ''}".rstrip()
        return _say("wrong command or config", f"{details}{_quoting_hint(details)}", 2)
    return 0


def _report(error: Exception) -> int:
    from sandbox.job import JobFailed

    if isinstance(error, JobFailed):
        return _say("failed", f"{error}\n{_GOES_ON}{_run_folder()}", 1)
    return _say("cannot run as written", str(error), 2)


def _run_folder() -> str:
    from sandbox import app

    return f"\nrun folder: {app.STARTED[-1]}" if app.STARTED and app.STARTED[-1].is_dir() else ""


def _quoting_hint(details: str) -> str:
    """How to write what Hydra's grammar takes apart: signs and functions of its own."""
    for key, example in (
        ("targets", "targets=['score.CIDEr >= 0.5']"),
        ("objective", "objective='max(score.CIDEr)'"),
    ):
        if f"string: {key}=" in details:
            return f'\nquote it for the shell and once more inside: "{example}"'
    if "missing EQUAL at '<EOF>'" in details:
        return "\nexpected key=value; an experiment is chosen by +experiment=NAME"
    return ""


def _say(what: str, details: str, code: int) -> int:
    print(f"sandbox: {what}:\n  " + details.replace("\n", "\n  "), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
