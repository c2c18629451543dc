"""A process that claims the job of a folder, prints that, and commits when it reads a line.

    python claimant.py FOLDER [--skew SECONDS] [--no-locks]

Prints ``held <attempt>`` and then ``committed`` or ``lost: <why>``; or ``done`` if nothing is left
to do.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from sandbox.store.claims import ClaimLost, take

_utime = os.utime


def main(folder: Path, *options: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if "--skew" in options:
        skew_s = float(options[options.index("--skew") + 1])
        os.utime = lambda file, *given: _utime(file, (time.time() + skew_s,) * 2)
    if "--no-locks" in options:
        fcntl.flock = _no_locks
    record = folder / "record.json"
    claim = take(folder, "job", record.exists)
    if claim is None:
        print("done", flush=True)
        return
    print(f"held {claim.number}", flush=True)
    sys.stdin.readline()
    try:
        claim.end_as(record, f"attempt {claim.number}")
    except ClaimLost as error:
        print(f"lost: {error}", flush=True)
    else:
        print("committed", flush=True)
    claim.release()


def _no_locks(*arguments: Any) -> None:
    raise OSError("Function not implemented")


main(Path(sys.argv[1]), *sys.argv[2:])
