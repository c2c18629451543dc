"""Shared by all campaigns: options, figures, failures, and programs that a fork starts at once.

    python scripts/campaigns/NAME.py --rounds 700 --seed 1
    python scripts/campaigns/NAME.py --minutes 5

A campaign makes one try after another. Try ``n`` of seed ``s`` draws from ``Random(f"{s}:{n}")``,
so that ``--seed s --only n`` repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_S = 30
"""Seconds after which a try counts as hanging."""


@dataclass
class Campaign:
    """Tries to make, what they found, and the exit status.

    Args:
        name: Name of the script.
        rounds: Number of tries; ``None`` goes on until ``minutes`` are over.
        minutes: Longest time.
        seed: Seed of all draws.
        only: Number of the one try to repeat.
        options: Further options of this campaign.
    """

    name: str
    rounds: int | None
    minutes: float | None
    seed: int
    only: int | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def tries(self) -> Iterator[tuple[int, random.Random]]:
        """Yield number and random source of each try, as long as the options ask for."""
        end = time.monotonic() + 60 * (self.minutes or 1e9)
        number = 0
        while (self.rounds is None or number < self.rounds) and time.monotonic() < end:
            if self.only is None or self.only == number:
                yield number, random.Random(f"{self.seed}:{number}")
            number += 1
            if self.only is not None and number > self.only:
                return

    def fail(self, number: int, what: str, reproduction: str) -> None:
        """Print one failure with its reproduction at once."""
        self.failures.append(what)
        again = f"python scripts/campaigns/{self.name}.py --seed {self.seed} --only {number}"
        print(f"FAILURE {what}\n  again: {again}\n  {reproduction}\n", flush=True)

    def end(self) -> int:
        """Print the figures; return the exit status."""
        for what, count in sorted(self.figures.items()):
            print(f"{what:<40} {count:6}")
        print(f"{'failures':<40} {len(self.failures):6}")
        return 1 if self.failures else 0


def campaign(name: str, rounds: int, **numbers: int) -> Campaign:
    """Return the campaign that the command line asks for, by default one of ``rounds`` tries.

    Args:
        name: Name of the script.
        rounds: Default of ``--rounds``.
        numbers: Further options with their defaults.
    """
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--rounds", type=int, help=f"number of tries ({rounds})")
    parser.add_argument("--minutes", type=float, help="go on for so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one try to repeat")
    for option, default in numbers.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    if options.rounds is None and options.minutes is None:
        options.rounds = rounds
    if options.only is not None:
        options.rounds = options.only + 1
    more = {option: getattr(options, option) for option in numbers}
    return Campaign(name, options.rounds, options.minutes, options.seed, options.only, more)


def forked(body: Callable[[], int], output: Path, longest_s: int = LONGEST_S) -> int | None:
    """Run ``body`` in a fork of this process; return its exit status, as a shell has it.

    Everything that this process has imported is there at once, so a run of the command line costs a
    fraction of a second. The fork leads a process group of its own, which ends with it.

    Args:
        body: Returns the exit status; what it raises is printed as Python prints it.
        output: File for what the fork prints.
        longest_s: Seconds until the fork is killed.

    Returns:
        The status; 128 + number of a signal; ``None`` if the time was up.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.alarm(longest_s)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os._exit(_status(body))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return None
    return code if code >= 0 else 128 - code


def _status(body: Callable[[], int]) -> int:
    """Return the exit status that Python would give a program of this body."""
    try:
        code: object = body()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr, flush=True)
    return 1
