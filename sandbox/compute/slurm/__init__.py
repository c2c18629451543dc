"""Run element jobs on a SLURM cluster: those of one job as one array."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval

from sandbox.compute import BaseCompute
from sandbox.compute.slurm import queue
from sandbox.job import NonNegativeInt, PositiveFloat, PositiveInt, rule
from sandbox.system import process

if TYPE_CHECKING:
    from sandbox.compute.slurm.submit import SlurmSession

_RESERVED = {
    "array",
    "comment",
    "error",
    "input",
    "job-name",
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "signal",
    "test-only",
    "wait",
    "wrap",
}
"""Options of sbatch that this compute sets itself."""

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
"""Options of sbatch that have an argument of their own."""

_EXPECTED = "expected one line of printable text without a leading -"


@dataclass(frozen=True, kw_only=True)
class Slurm(BaseCompute):
    """Submit items as one SLURM array, and watch each until it has a result or is known to be lost.

    The nodes must see the working directory, the Python environment and ``folder`` under the same
    paths. An item runs as one task on one node. ``None`` leaves an option to the cluster.

    Args:
        gpus: GPUs of each element, all on its node.
        cpus_per_task: CPUs of each element, and the number of threads that its libraries use.
        mem_gb: Memory of each element; an element that takes more is killed.
        timeout_min: Time limit of each element. ``signal_delay_s`` before it the element is
            interrupted, put back into the queue, and goes on in the same folder.
        partition: Partition, or several with commas between them.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that the node must have, as for ``sbatch --constraint``.
        max_parallel: Elements of one array that run at the same time; ``None``: no limit.
        max_num_timeout: How often an element may start again after its time limit.
        signal_delay_s: Seconds before the time limit at which an element is interrupted; must be
            enough to end its programs.
        setup: Lines of shell that run on the node before Python starts (``module load cuda``).
        additional_parameters: More options of ``sbatch``: ``{"exclude": "n7", "exclusive": true}``.
        folder: Folder of submissions and their logs, on a file system that the nodes share.
        poll_s: Seconds between two calls of squeue, each for all elements.
        on_interrupt: What happens to submitted jobs when the run is interrupted: ``cancel`` them,
            or ``leave`` them; the same command then takes them up. A lost terminal leaves them.
    """

    gpus: NonNegativeInt = 0
    cpus_per_task: PositiveInt = 1
    mem_gb: PositiveFloat | None = None
    timeout_min: PositiveInt = 240
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    max_parallel: PositiveInt | None = None
    max_num_timeout: NonNegativeInt = 3
    signal_delay_s: PositiveInt = 90
    setup: Sequence[str] = ()
    additional_parameters: Mapping[str, Any] | None = None
    folder: str = "outputs/slurm"
    # A job has ended after two equal answers of squeue; up to 25 s, that is within a minute.
    poll_s: Annotated[float, Interval(gt=0, le=25)] = 10.0
    on_interrupt: Literal["cancel", "leave"] = "cancel"

    @rule
    def _signal_comes_before_the_limit(signal_delay_s: int, timeout_min: int) -> None:
        if signal_delay_s >= timeout_min * 60:
            raise ValueError(
                f"signal_delay_s is {signal_delay_s}, expected less than the time limit of"
                f" {timeout_min * 60} s"
            )

    @rule
    def _texts_are_one_line(
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        folder: str,
    ) -> None:
        # submitit writes them into a script, where a second line would be a command.
        texts = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "folder": folder,
        }
        for name, text in texts.items():
            if text is not None and not _is_argument(text):
                raise ValueError(f"{name}: {_EXPECTED}, got {text!r}")

    @rule
    def _folder_is_literal_for_slurm(folder: str) -> None:
        if "%" in folder:
            raise ValueError(f"folder: must not contain %, which SLURM replaces, got {folder!r}")

    @rule
    def _additional_parameters_are_options(
        additional_parameters: Mapping[str, Any] | None,
    ) -> None:
        for key, value in (additional_parameters or {}).items():
            _check_option(str(key), value)

    def check(self) -> None:
        """Check that sbatch would accept such a job.

        Raises:
            ValueError: There is no SLURM here, or its message why it refuses.
        """
        missing = [tool for tool in queue.TOOLS if not shutil.which(tool)]
        if missing:
            raise ValueError(
                f"slurm needs {', '.join(missing)} on PATH: start the run where jobs of the cluster"
                " are submitted, or choose compute=local"
            )
        if importlib.util.find_spec("submitit") is None:
            raise ValueError("slurm needs submitit: pip install 'sandbox[sweeps]'")
        from sandbox.compute.slurm.submit import outside_of_a_job

        flags = [_flag(name, value) for name, value in self.sbatch_options().items()]
        command = ["sbatch", "--test-only", *flags]
        try:
            with outside_of_a_job():
                process.output([*command, "--wrap=true"])
        except process.ProcessError as error:
            raise ValueError(f"{error} (command: {' '.join(command)})") from None

    def open(self) -> SlurmSession:
        from sandbox.compute.slurm.submit import SlurmSession

        return SlurmSession(self)

    def sbatch_options(self) -> dict[str, Any]:
        """Return the options of sbatch that the arguments stand for, by their long names."""
        options = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "cpus-per-task": self.cpus_per_task,
            "time": self.timeout_min,
            "gpus-per-node": self.gpus or None,
            "mem": None if self.mem_gb is None else f"{round(self.mem_gb * 1024)}M",
        }
        for key, value in (self.additional_parameters or {}).items():
            options[_long_name(key)] = value
        return {name: value for name, value in options.items() if value is not None}


def _long_name(key: str) -> str:
    return key.replace("_", "-")


def _flag(name: str, value: Any) -> str:
    return f"--{name}" if value is True else f"--{name}={value}"


def _check_option(key: str, value: Any) -> None:
    """Check one of ``additional_parameters``.

    Raises:
        ValueError: It is no option of sbatch, has another place, or its value is not plain.
    """
    where = f"additional_parameters.{key}"
    name = _long_name(key)
    if not re.fullmatch(r"[a-z][a-z0-9-]+", name):
        raise ValueError(f"{where}: expected a long option of sbatch")
    if name in _RESERVED:
        raise ValueError(f"{where}: cannot be given, this compute sets it")
    if name in _ARGUMENTS:
        raise ValueError(f"{where}: cannot be given here, give {_ARGUMENTS[name]} instead")
    if value is False or not isinstance(value, (str, int, float)):
        raise ValueError(f"{where}: expected text, a number or true, got {value!r}")
    if isinstance(value, str) and not _is_argument(value):
        raise ValueError(f"{where}: {_EXPECTED}, got {value!r}")


def _is_argument(text: str) -> bool:
    """Return True for a text that sbatch reads as one value, in a command and in a script."""
    return text.isprintable() and not text.lstrip().startswith("-")
