"""How sbatch is asked: which of its options are given how, and in which environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_OURS = {
    *(
        "array",
        "comment",
        "error",
        "input",
        "job-name",
        "nodes",
        "ntasks",
        "ntasks-per-node",
        "open-mode",
    ),
    *("output", "parsable", "requeue", "signal", "test-only", "wait", "wrap"),
}
"""Options that the compute sets itself."""

_ARGUMENTS = {
    "account": "account",
    "constraint": "constraint",
    "cpus-per-task": "cpus_per_task",
    "gpus": "gpus",
    "gpus-per-node": "gpus",
    "mem": "mem_gb",
    "partition": "partition",
    "qos": "qos",
    "time": "timeout_min",
}
"""Options of sbatch that arguments stand for."""


def more_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of sbatch beyond those that are arguments; checked, by their long name."""
    found = {}
    for key, value in given.items():
        name = str(key).replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]+", name):
            raise ValueError(f"additional_parameters: {key!r} is no long option of sbatch")
        if name in _OURS | {*_ARGUMENTS}:
            instead = (
                f"give {_ARGUMENTS[name]} instead"
                if name in _ARGUMENTS
                else "it is set by this compute"
            )
            raise ValueError(f"additional_parameters: {key} cannot be given here: {instead}")
        if value is not True and (
            isinstance(value, bool) or not isinstance(value, (str, int, float))
        ):
            raise ValueError(
                f"additional_parameters: {key} must be text, a number or true, got {value!r}"
            )
        found[name] = value
    return found


def flag(name: str, value: Any) -> str:
    """One option as it stands on the command line."""
    return f"--{name}" if value is True else f"--{name}={value}"


@contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Submit as if from a shell: what describes this machine, or a job that this is in, is not handed on."""
    job = ("SLURM_", "SRUN_", "SUBMITIT_")
    inner = [name for name in os.environ if name.startswith(job) and name != "SLURM_CONF"]
    hidden = {
        name: os.environ.pop(name)
        for name in (*inner, "CUDA_VISIBLE_DEVICES")
        if name in os.environ
    }
    try:
        yield
    finally:
        os.environ.update(hidden)
