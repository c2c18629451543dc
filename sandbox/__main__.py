"""``python -m sandbox``: runs :func:`sandbox.app.main` and turns outcomes into exit codes.

0: done. 1: a job failed, or the run was interrupted. 2: the config or the command is wrong.
"""

from __future__ import annotations

import os
import sys

_GOES_ON = "what finished is recorded; the same command goes on from there"


def main() -> int:
    """Run the command line; returns the exit code. Hydra itself returns 1 for everything."""
    from sandbox import app
    from sandbox.context import register_resolvers

    if len(sys.argv) == 1:
        app.list_experiments()
        return 0
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from sandbox.job import JobFailed
    from sandbox.plan import PlanError

    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us
    try:
        app.main()
    except SystemExit as end:  # a run's own failure, or Hydra's end
        if not isinstance(end.code, Exception):
            raise
        return _report(end.code)
    except (PlanError, JobFailed) as error:
        return _report(error)
    except KeyboardInterrupt:
        return _say("interrupted", _GOES_ON, 1 if app.STARTED else 2)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        if app.STARTED:
            raise
        return _say("wrong command or config", f"{error}\n{error.__cause__ or ''}".rstrip(), 2)
    return 0


def _report(error: Exception) -> int:
    from sandbox.job import JobFailed

    if isinstance(error, JobFailed):
        return _say("failed", f"{error}\n{_GOES_ON}", 1)
    return _say("cannot run as written", str(error), 2)


def _say(what: str, details: str, code: int) -> int:
    print(f"sandbox: {what}:\n  " + details.replace("\n", "\n  "), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
