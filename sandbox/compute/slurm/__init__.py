"""Run element jobs on a SLURM cluster: those of one job as one array."""

from __future__ import annotations

import importlib.util
import logging
import re
import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sandbox.compute import BaseCompute, T
from sandbox.compute.slurm import queue
from sandbox.compute.slurm.node import OnNode
from sandbox.compute.slurm.options import flag, more_options, outside_of_a_job
from sandbox.compute.slurm.signals import Signals
from sandbox.compute.slurm.ticket import Ticket, submitting
from sandbox.compute.slurm.watch import Submitted, Watch
from sandbox.system import liveness, process

log = logging.getLogger(__name__)


class Slurm(BaseCompute):
    """Submit items as one SLURM array, and watch them until each has its result or is known to be lost.

    The nodes must see the working directory, the Python environment and ``folder`` under the same paths.
    An item runs as one task on one node. What is ``None`` is left to the cluster.

    Args:
        gpus: GPUs of each element, all on its node.
        cpus_per_task: CPUs of each element, and the number of threads that its libraries use.
        mem_gb: Memory of each element; an element that takes more is killed.
        timeout_min: Time limit of each element. ``signal_delay_s`` before it the element is interrupted,
            put back into the queue, and goes on in the same folder.
        partition: Partition, or several with commas between.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that the node must have, as ``sbatch --constraint``.
        max_parallel: Elements of one array that run at the same time; ``None`` as many as the cluster can.
        max_num_timeout: How often an element may start again after its time limit.
        signal_delay_s: How long before its limit an element is interrupted: enough to end its programs.
        setup: Lines of shell that run on the node before Python does (``module load cuda``).
        additional_parameters: More options of ``sbatch``, ``{"exclude": "n7", "exclusive": true}``.
        folder: Folder of submissions and their logs, on a file system that the nodes share.
        poll_s: How often squeue is asked, once for all elements.
        on_interrupt: What becomes of what was submitted when the run is interrupted: ``cancel`` it, or
            ``leave`` it to go on; the same command then takes it up. A lost terminal always leaves it.
    """

    def __init__(
        self,
        gpus: int = 0,
        cpus_per_task: int = 1,
        mem_gb: float | None = None,
        timeout_min: int = 240,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        max_parallel: int | None = None,
        max_num_timeout: int = 3,
        signal_delay_s: int = 90,
        setup: Sequence[str] = (),
        additional_parameters: Mapping[str, Any] | None = None,
        folder: str = "outputs/slurm",
        poll_s: float = 10.0,
        on_interrupt: Literal["cancel", "leave"] = "cancel",
    ) -> None:
        least = {
            "gpus": (gpus, 0),
            "cpus_per_task": (cpus_per_task, 1),
            "timeout_min": (timeout_min, 1),
        }
        least |= {"max_num_timeout": (max_num_timeout, 0), "signal_delay_s": (signal_delay_s, 1)}
        least |= {"max_parallel": (1 if max_parallel is None else max_parallel, 1)}
        for name, (value, at_least) in least.items():
            if value < at_least:
                raise ValueError(f"{name} must be at least {at_least}, got {value}")
        if mem_gb is not None and mem_gb <= 0:
            raise ValueError(f"mem_gb must be positive, got {mem_gb}")
        if signal_delay_s >= timeout_min * 60:
            raise ValueError(
                f"signal_delay_s must be less than the time limit, got {signal_delay_s} of {timeout_min * 60}"
            )
        if not 0 < poll_s <= 25:  # two polls that tell the same make an end sure: within a minute
            raise ValueError(f"poll_s must be at most 25 seconds, got {poll_s}")
        if "%" in folder:  # which SLURM would replace
            raise ValueError(f"folder must not hold a %, got {folder!r}")
        if on_interrupt not in ("cancel", "leave"):
            raise ValueError(f"on_interrupt must be cancel or leave, got {on_interrupt!r}")
        options = {"partition": partition, "account": account, "qos": qos, "constraint": constraint}
        self.options: dict[str, Any] = {
            key: value for key, value in options.items() if value is not None
        }
        self.options |= {"cpus-per-task": cpus_per_task, "time": timeout_min}
        if gpus:
            self.options["gpus-per-node"] = gpus
        if mem_gb is not None:
            self.options["mem"] = f"{round(mem_gb * 1024)}M"
        self.options |= more_options(additional_parameters or {})
        for name, given in (*self.options.items(), ("folder", folder)):
            if not str(given).isprintable():
                raise ValueError(f"{name} must be one line of printable text, got {given!r}")
        self.cpus_per_task = cpus_per_task
        self.timeout_min = timeout_min
        self.max_parallel = max_parallel
        self.max_num_timeout = max_num_timeout
        self.signal_delay_s = signal_delay_s
        self.setup = [*setup]
        self.folder = folder
        self.poll_s = poll_s
        self.on_interrupt = on_interrupt
        self._signals = Signals()
        self._waiting: dict[int, Submitted] = {}

    def check(self) -> None:
        """Ask sbatch whether it would take such a job.

        Raises:
            ValueError: There is no SLURM here, or it refuses: its words.
        """
        missing = [tool for tool in queue.TOOLS if not shutil.which(tool)]
        if missing:
            raise ValueError(
                f"slurm needs {', '.join(missing)} on PATH: start the run where jobs of the cluster are "
                "submitted, or choose compute=local"
            )
        if importlib.util.find_spec("submitit") is None:
            raise ValueError("slurm needs submitit: pip install 'sandbox[sweeps]'")
        command = ["sbatch", "--test-only", *(flag(*option) for option in self.options.items())]
        try:
            with outside_of_a_job():
                process.output([*command, "--wrap=true"])
        except process.ProcessError as error:
            raise ValueError(f"{error} (asked: {' '.join(command)})") from None

    def map(
        self, function: Callable[[T], None], items: Sequence[T]
    ) -> Iterator[tuple[int, Exception | None]]:
        same: dict[Any, list[int]] = {}  # equal elements have one folder, and are done once
        for index, item in enumerate(items):
            same.setdefault(_folder_of(item) or index, []).append(index)
        firsts = {indices[0]: indices for indices in same.values()}
        self._signals.listen()
        yield from (
            (index, error)
            for first, error in self._map(function, {first: items[first] for first in firsts})
            for index in firsts[first]
        )

    def close(self) -> None:
        """Cancel what was submitted and has not ended, or leave it, as was asked for."""
        self._signals.restore()
        left = [*self._waiting.values()]
        own = [one.job_id for one in left if one.is_own]
        self._waiting.clear()
        if own and self.on_interrupt == "cancel" and not self._signals.hung_up:
            log.info("cancelling SLURM jobs %s", " ".join(own))
            for one in left:
                if one.is_own and one.item_folder:
                    one.ticket.remove(one.item_folder)
            try:
                queue.cancel(own)
            except process.ProcessError as error:
                log.error("they may still be in the queue: %s", error)
        elif left:
            names = " ".join(one.job_id for one in left)
            log.info("SLURM jobs go on: %s; the same command takes them up again", names)

    def __str__(self) -> str:
        partition = self.options.get("partition")
        return f"slurm, {partition}" if partition else "slurm"

    def _map(
        self, function: Callable[[T], None], items: Mapping[int, T]
    ) -> Iterator[tuple[int, Exception | None]]:
        """Get every item into the queue, and yield each as it ends."""
        work = OnNode(
            function,
            logging.getLogger().level,
            self.cpus_per_task,
            self.timeout_min,
            self.signal_delay_s,
            self.max_num_timeout,
        )
        yield from self._refused(work, items)
        watch = Watch(self._waiting, self.poll_s)
        while self._waiting:
            for index, error, cancelled_by_others in watch.ended():
                one = self._waiting.pop(index)
                if cancelled_by_others:
                    yield from self._refused(work, {index: items[index]})
                    continue
                if one.item_folder:
                    one.ticket.remove(one.item_folder)
                yield index, error
            watch.pause()

    def _refused(self, work: OnNode[T], items: Mapping[int, T]) -> Iterator[tuple[int, Exception]]:
        """Get items into the queue; yields those that it does not take."""
        try:
            self._enqueue(work, items)
        except process.ProcessError as refusal:
            for index in items.keys() - self._waiting.keys():
                yield index, refusal

    def _enqueue(self, work: OnNode[T], items: Mapping[int, T]) -> None:
        """Find those that are in the queue already, submit the others."""
        with submitting(Path(self.folder)), self._signals.deferred():
            self._waiting |= self._attached(items)
            new = [index for index in items if index not in self._waiting]
            length = min(len(new), queue.longest_array() - 1) if len(new) > 1 else 1
            for start in range(0, len(new), length):
                chunk = new[start : start + length]
                self._waiting |= self._submit(work, {index: items[index] for index in chunk})

    def _attached(self, items: Mapping[int, T]) -> dict[int, Submitted]:
        """Items that a driver has submitted before, and that wait or run."""
        tickets = {
            index: ticket
            for index, item in items.items()
            if (folder := _folder_of(item)) and (ticket := Ticket.read(folder))
        }
        now = queue.states(ticket.job_id for ticket in tickets.values())
        found = {}
        for index, ticket in tickets.items():
            state = now[ticket.job_id]
            one = Submitted(ticket, _label_of(items[index]), _folder_of(items[index]))
            if state.is_alive and state.comment == ticket.comment and not one.result_path.exists():
                if liveness.lives(ticket.driver) is False:
                    one.adopt(liveness.this_process())
                found[index] = one
                log.info(
                    "%s: SLURM job %s does it already, log %s", one.label, one.job_id, one.log_path
                )
        return found

    def _submit(self, work: OnNode[T], items: Mapping[int, T]) -> dict[int, Submitted]:
        from submitit import SlurmExecutor

        folder = Path(self.folder).absolute() / "%j"
        comment = f"sandbox {uuid.uuid4().hex}"
        label = _label_of(items[next(iter(items))])
        # The process is the batch step itself, which alone is told of a coming end, not its programs too.
        executor = SlurmExecutor(folder, python=f"exec {shlex.quote(sys.executable)}")
        executor.update_parameters(
            job_name=re.sub(r"\W+", "-", label.partition("[")[0]) or "sandbox",
            comment=comment,
            setup=self.setup or None,
            stderr_to_stdout=True,
            array_parallelism=self.max_parallel or len(items),
            use_srun=False,
            additional_parameters={
                **self.options,
                "requeue": True,
                "signal": f"B:USR2@{self.signal_delay_s}",
            },
        )
        try:
            with outside_of_a_job():
                jobs = executor.map_array(work, [*items.values()])
        except Exception as error:  # submitit's own, with what sbatch said
            raise process.ProcessError(f"sbatch refused: {error}") from error
        submitted = {}
        for index, job in zip(items, jobs, strict=True):
            ticket = Ticket(job.job_id, str(folder), comment, liveness.this_process())
            one = submitted[index] = Submitted(
                ticket, _label_of(items[index]), _folder_of(items[index])
            )
            if one.item_folder:
                ticket.write(one.item_folder)
            log.info("%s: SLURM job %s, log %s", one.label, one.job_id, one.log_path)
        return submitted


def _folder_of(item: object) -> Path | None:
    """The folder of an element job in the store; other items have none, and are not found again."""
    return getattr(item, "folder", None)


def _label_of(item: object) -> str:
    return str(getattr(item, "label", item))
