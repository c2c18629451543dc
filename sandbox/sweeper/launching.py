"""Hand one run to a Hydra launcher without waiting for it.

A launcher waits for its runs, and few can be called from several threads. Submitit's can: it is
called from a thread, and the run's process is elsewhere. Any other launcher works in a process of
its own, one for each run, or here where runs come one at a time.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus, setup_globals
from hydra.plugins.launcher import Launcher

log = logging.getLogger(__name__)

OUTPUT = "output.log"
_END_S = 10.0


class Launch:
    """One run in the hands of a launcher.

    Args:
        launcher: The launcher, set up.
        overrides: The run's overrides.
        number: Number of its trial.
        folder: Folder of the run; exists.
        is_alone: True if runs come one at a time, and share this process.
        gpus: GPUs that its process sees; empty leaves them alone.
    """

    def __init__(
        self,
        launcher: Launcher,
        overrides: Sequence[str],
        number: int,
        folder: Path,
        is_alone: bool,
        gpus: Sequence[str] = (),
    ) -> None:
        self.launcher = _for_one_run(launcher, folder)
        self.overrides = list(overrides)
        self.number = number
        self.folder = folder
        self.gpus = gpus
        self.error = ""
        self.value: Any = None
        self.has_value = False
        self.is_here = is_alone and not is_submitit(launcher)
        self._is_over = threading.Event()
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Begin; returns at once, or for a run in this process at its end."""
        if self.is_here:
            self._call()
        elif is_submitit(self.launcher):
            threading.Thread(target=self._call, daemon=True).start()
        else:
            self._start_process()

    def is_over(self) -> bool:
        """Return whether the launcher has returned the run; it never does if a cluster lost it."""
        if self._process is not None and not self._process.is_alive():
            self._process.join()
            code = self._process.exitcode or 0
            if code < 0:
                self.error = f"its process was ended by signal {signal.Signals(-code).name}"
            self._is_over.set()
        return self._is_over.is_set()

    def end(self) -> None:
        """Wait for the process of a run that has its result; kill one that does not end."""
        if self._process is not None:
            self._process.join(_END_S)
            self.kill()

    def kill(self) -> None:
        """End the run's process at once, if it is a child of this one."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def _call(self) -> None:
        try:
            (returned,) = self.launcher.launch([self.overrides], initial_job_idx=self.number)
            self.value = returned._return_value
            self.has_value = returned.status is JobStatus.COMPLETED
            if not self.has_value:
                self.error = f"{type(self.value).__name__}: {self.value}"
        except Exception as error:  # of whatever launcher: the run failed, the sweep goes on
            self.error = f"{type(error).__name__}: {str(error).strip()}"
        finally:
            self._is_over.set()

    def _start_process(self) -> None:
        import cloudpickle

        # Plain pickle sends functions by name, and the task's name belongs to hydra.main's wrapper.
        payload = cloudpickle.dumps(
            (self.launcher, self.overrides, self.number, Singleton.get_state())
        )
        # Not forked: this process has threads, and Hydra's state of the sweep.
        self._process = multiprocessing.get_context("spawn").Process(
            target=_launch_in_process, args=(payload, str(self.folder / OUTPUT), self.gpus)
        )
        self._process.start()


def is_submitit(launcher: Launcher) -> bool:
    """Return whether runs of this launcher have processes of their own, by submitit."""
    return any(base.__name__ == "BaseSubmititLauncher" for base in type(launcher).__mro__)


def is_slurm(launcher: Launcher) -> bool:
    """Return whether runs of this launcher are SLURM jobs."""
    return is_submitit(launcher) and getattr(launcher, "_EXECUTOR", "") == "slurm"


def _for_one_run(launcher: Launcher, folder: Path) -> Launcher:
    """Return a copy of the launcher that makes workers, and keeps a folder, for one run only."""
    own: Launcher = copy.copy(launcher)
    options: Any = own
    if is_submitit(launcher):  # its logs and its job number are kept beside the run
        options.params = {**options.params, "submitit_folder": str(folder / ".submitit" / "%j")}
    elif hasattr(launcher, "joblib"):  # more workers would idle for minutes before they end
        options.joblib = {**options.joblib, "n_jobs": 1}
    return own


def _launch_in_process(payload: bytes, output: str, gpus: Sequence[str]) -> None:
    """Launch one run in a new process, with its output in a file."""
    import cloudpickle

    # Every process of a terminal receives Ctrl-C. Only the driver reacts, and stops its trials.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    launcher, overrides, number, state = cloudpickle.loads(payload)
    Singleton.set_state(state)
    setup_globals()
    launcher.launch([overrides], initial_job_idx=number)
