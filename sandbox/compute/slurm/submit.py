"""Submit items to SLURM, or find them in its queue, and yield each as it ends."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandbox.compute import Begun, ComputeSession, T, ignore
from sandbox.compute.slurm import queue
from sandbox.compute.slurm.node import NodeTask
from sandbox.compute.slurm.watch import QueuedItem, QueueWatcher, Submission
from sandbox.system import process
from sandbox.system.liveness import Heartbeat, Observer, Owner, exclusive
from sandbox.system.signals import HangUpListener, deferred_interrupts

if TYPE_CHECKING:
    from sandbox.compute.slurm import Slurm

log = logging.getLogger(__name__)


@contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Submit as if from a shell, without the variables of a job that this process may be in."""
    from submitit.helpers import clean_env

    # Settings of the person: the cluster to talk to, and defaults of sbatch.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or name.startswith("SBATCH_")
    }
    with clean_env(["CUDA_VISIBLE_DEVICES"]):
        os.environ.update(kept)
        yield


class SlurmSession(ComputeSession):
    """The queued jobs of a :class:`~sandbox.compute.slurm.Slurm` compute.

    Args:
        compute: Its arguments.
    """

    def __init__(self, compute: Slurm) -> None:
        self.compute = compute
        self._folder = Path(compute.folder).absolute()
        self._driver = self._folder / "drivers" / f"{Owner.this_process().id}.json"
        self._waiting: dict[int, QueuedItem] = {}
        self._hang_up = HangUpListener()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._hang_up)
        self._open.callback(self._driver.unlink, missing_ok=True)
        self._open.enter_context(Heartbeat(self._driver))
        return self

    def __exit__(self, *exc: object) -> None:
        """Cancel what was submitted and has not ended, or leave it, as the arguments ask for."""
        with self._open:
            left = [*self._waiting.values()]
            self._waiting.clear()
            own = [one for one in left if self._is_own(one)]
            is_cancelled = self.compute.on_interrupt == "cancel" and not self._hang_up.has_hung_up
            if own and is_cancelled:
                self._cancel(own)
            elif left:
                ids = " ".join(one.job_id for one in left)
                log.info("SLURM jobs go on: %s; the same command takes them up again", ids)

    def map(
        self, function: Callable[[T], None], items: Sequence[T], begun: Begun = ignore
    ) -> Iterator[tuple[int, Exception | None]]:
        # Equal elements have the same folder, and are done once.
        equal: dict[Any, list[int]] = {}
        for index, item in enumerate(items):
            equal.setdefault(_folder_of(item) or index, []).append(index)
        indices_by_first = {indices[0]: indices for indices in equal.values()}
        distinct = {first: items[first] for first in indices_by_first}
        for first, error in self._map(function, distinct, begun):
            for index in indices_by_first[first]:
                yield index, error

    def __str__(self) -> str:
        return f"slurm, {self.compute.partition}" if self.compute.partition else "slurm"

    def _is_own(self, one: QueuedItem) -> bool:
        return one.submission.driver == str(self._driver)

    def _cancel(self, own: Sequence[QueuedItem]) -> None:
        ids = [one.job_id for one in own]
        log.info("cancelling SLURM jobs %s", " ".join(ids))
        # Before the jobs end: another driver must not find and await them.
        for one in own:
            one.forget()
        try:
            queue.cancel(ids)
        except process.ProcessError as error:
            log.error("they may still be in the queue: %s", error)

    def _map(
        self, function: Callable[[T], None], items: Mapping[int, T], begun: Begun
    ) -> Iterator[tuple[int, Exception | None]]:
        """Queue every item, and yield each as it ends."""
        task = NodeTask(
            function,
            level=logging.getLogger().level,
            cpus=self.compute.cpus_per_task,
            timeout_min=self.compute.timeout_min,
            signal_delay_s=self.compute.signal_delay_s,
            max_num_timeout=self.compute.max_num_timeout,
        )
        yield from self._queue_or_refuse(task, items)
        watcher = QueueWatcher(self._waiting, self.compute.poll_s, begun)
        while self._waiting:
            for index, error, is_cancelled in watcher.ended():
                one = self._waiting.pop(index)
                if is_cancelled and not self._is_own(one):  # its driver was interrupted
                    yield from self._queue_or_refuse(task, {index: items[index]})
                    continue
                one.forget()
                yield index, error
            watcher.pause()

    def _queue_or_refuse(
        self, task: NodeTask[T], items: Mapping[int, T]
    ) -> Iterator[tuple[int, Exception]]:
        """Queue items; yield those that the cluster refuses."""
        try:
            self._queue(task, items)
        except process.ProcessError as refusal:
            for index in items.keys() - self._waiting.keys():
                yield index, refusal

    def _queue(self, task: NodeTask[T], items: Mapping[int, T]) -> None:
        """Find the items that are in the queue already, and submit the others."""
        # Two drivers look and submit one after the other. An interrupt waits: a job that was
        # submitted and not noted could neither be cancelled nor found again.
        with exclusive(self._folder / ".lock"), deferred_interrupts():
            self._waiting |= self._found(items)
            new = [index for index in items if index not in self._waiting]
            length = min(len(new), queue.longest_array() - 1) if len(new) > 1 else 1
            for start in range(0, len(new), length):
                chunk = new[start : start + length]
                self._waiting |= self._submit(task, {index: items[index] for index in chunk})

    def _found(self, items: Mapping[int, T]) -> dict[int, QueuedItem]:
        """Return the items that a driver has submitted before, and that wait or run."""
        candidates = {}
        for index, item in items.items():
            folder = _folder_of(item)
            submission = Submission.read(folder) if folder else None
            if submission:
                candidates[index] = QueuedItem(submission, _label_of(item), folder)
        states = queue.states(one.job_id for one in candidates.values())
        found = {}
        for index, one in candidates.items():
            state = states[one.job_id]
            is_same = state.comment == one.submission.comment
            if not (state.is_alive and is_same) or one.result_path.exists():
                continue
            if not Observer(Path(one.submission.driver)).is_alive():
                one.adopt(str(self._driver))
            found[index] = one
            log.info(
                "%s: SLURM job %s does it already, log %s", one.label, one.job_id, one.log_path
            )
        return found

    def _submit(self, task: NodeTask[T], items: Mapping[int, T]) -> dict[int, QueuedItem]:
        """Submit items as one array, and note every job in its item's folder."""
        name = uuid.uuid4().hex
        # A new folder: nobody can have prepared files of jobs in it.
        folder = self._folder / name[:8] / "%j"
        comment = f"sandbox {name}"
        try:
            with outside_of_a_job():
                executor = self._executor(folder, comment, items)
                jobs = executor.map_array(task, [*items.values()])
        except Exception as error:  # submitit's own, with the message of sbatch
            raise process.ProcessError(f"sbatch refused: {error}") from error
        submitted = {}
        for (index, item), job in zip(items.items(), jobs, strict=True):
            submission = Submission(job.job_id, str(folder), comment, str(self._driver))
            one = QueuedItem(submission, _label_of(item), _folder_of(item))
            if one.item_folder:
                submission.write(one.item_folder)
            submitted[index] = one
            log.info("%s: SLURM job %s, log %s", one.label, one.job_id, one.log_path)
        return submitted

    def _executor(self, folder: Path, comment: str, items: Mapping[int, T]) -> Any:
        from submitit import SlurmExecutor

        label = _label_of(next(iter(items.values())))
        # `exec` makes Python the batch step itself: SLURM announces a coming end only to that step,
        # and must not signal the programs that the item starts.
        python = shlex.join(["exec", "env", "=".join(process.SAFE_PATH), sys.executable])
        executor = SlurmExecutor(folder, python=python)
        executor.update_parameters(
            job_name=re.sub(r"\W+", "-", label.partition("[")[0]) or "sandbox",
            comment=comment,
            setup=[*self.compute.setup] or None,
            stderr_to_stdout=True,
            array_parallelism=self.compute.max_parallel or len(items),
            use_srun=False,
            additional_parameters={
                **self.compute.sbatch_options(),
                "requeue": True,
                "signal": f"B:USR2@{self.compute.signal_delay_s}",
            },
        )
        return executor


def _folder_of(item: object) -> Path | None:
    """Return the folder of an element job in the store; other items have none."""
    return getattr(item, "folder", None)


def _label_of(item: object) -> str:
    return str(getattr(item, "label", item))
