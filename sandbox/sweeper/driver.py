"""The driver of a sweep: ask for trials, hand them to the launcher, and record how they end."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hydra.plugins.launcher import Launcher

from sandbox.running.trial import TRIAL
from sandbox.sweeper import recorder
from sandbox.sweeper.judge import Judge
from sandbox.sweeper.launching import Launch, is_slurm
from sandbox.sweeper.orphans import Orphans, running
from sandbox.sweeper.recorder import Recorder
from sandbox.sweeper.results import Sweep, write_results
from sandbox.sweeper.runs import Run, Trial
from sandbox.sweeper.study import locked
from sandbox.system.files import write_durably
from sandbox.system.liveness import Heartbeat

log = logging.getLogger(__name__)

_POLL_S = 0.2
_END_S = 40.0


class Driver:
    """One process that works on a sweep; several may, at once or one after another.

    Args:
        sweep: The sweep.
        launcher: The launcher, set up.
    """

    def __init__(self, sweep: Sweep, launcher: Launcher) -> None:
        self.sweep = sweep
        self.study, self.settings, self.folder = sweep.study, sweep.settings, sweep.folder
        self.launcher = launcher
        self.name = f"{platform.node()}-{os.getpid()}-{time.time_ns()}"
        self.trials: dict[int, Trial] = {}
        self._began = time.time()
        self._launches: list[Launch] = []
        self._judge = Judge(self.study, self.settings)
        self._recorder = Recorder(self.study, self.settings)
        self._orphans = Orphans(self.study, self.folder, self.name, self._recorder)

    def run(self) -> None:
        """Work until the study has its trials, or too many failed; interrupted, end what runs."""
        with Heartbeat(self.folder / "drivers" / f"{self.name}.json") as heartbeat:
            try:
                while self._step():
                    # Otherwise a trial ended within the step, and its slot is free at once.
                    if self.trials or self._num_wanted() <= 0:
                        time.sleep(_POLL_S)
            except KeyboardInterrupt:
                self._interrupt()
                raise
        # Only processes of this driver: a run that goes on elsewhere has its next driver.
        for launch in self._launches:
            launch.end()
        heartbeat.path.unlink(missing_ok=True)

    def num_failed(self) -> int:
        """Return how many trials have failed since this driver began."""
        return recorder.num_failed(self.study, self._began)

    def _step(self) -> bool:
        """Do what can be done now; return whether there is more to come."""
        for trial in [*self.trials.values()]:
            self._judge.watch_over(trial)
            self._settle(trial)
        self._start_waiting()
        if self._num_free() <= 0:
            return True
        for trial in self._orphans.take_up(self.trials):
            self.trials[trial.number] = trial
        if self._num_wanted() > 0:
            self._ask()
        # A trial of another driver may fail and leave something to do.
        has_others = not self._has_too_many_failed() and bool(running(self.study))
        return bool(self.trials) or self._num_wanted() > 0 or has_others

    def _runs(self) -> list[Run]:
        return [run for trial in self.trials.values() for run in trial.runs]

    def _num_free(self) -> int:
        return self.settings.n_workers - sum(run.result is None for run in self._runs())

    def _num_wanted(self) -> int:
        """Return how many more trials the study needs than it has or runs."""
        if self._has_too_many_failed():
            return 0
        num_there = recorder.num_done(self.study, self.settings) + len(running(self.study))
        return self.settings.n_trials - num_there

    def _has_too_many_failed(self) -> bool:
        return self.num_failed() > self.settings.max_failures

    def _ask(self) -> None:
        """Take as many trials as there are slots, while no other driver asks."""
        # Two drivers that count and ask at the same time would together exceed n_trials.
        with locked(self.folder):
            while self._num_free() > 0 and self._num_wanted() > 0:
                self._ask_one()
        self._start_waiting()

    def _ask_one(self) -> None:
        asked = self.study.ask(self.sweep.space.distributions)
        if self.settings.custom_search_space is not None:
            self.settings.custom_search_space(asked)
        is_queued = is_slurm(self.launcher)
        runs = []
        for seed in self.settings.seeds or (None,):
            name = str(asked.number) if seed is None else f"{asked.number}/seed_{seed}"
            overrides = [*self.sweep.overrides(asked.params, seed), *self.sweep.watcher_overrides]
            overrides.append(f"hydra.sweep.subdir='{name}'")
            runs.append(Run(self.folder / name, overrides, is_queued))
        names = [str(run.folder.relative_to(self.folder)) for run in runs]
        about = {"driver": self.name, "runs": names, "is_slurm": is_queued}
        self.study._storage.set_trial_user_attr(asked._trial_id, "run", about)
        (self.folder / str(asked.number)).mkdir()  # fails if it exists: no folder is used twice
        self.trials[asked.number] = Trial(asked.number, asked._trial_id, runs)

    def _start_waiting(self) -> None:
        """Launch runs of this driver's trials that were not launched, where slots are free."""
        num_launched = sum(run.result is None and run.was_launched for run in self._runs())
        for trial in [*self.trials.values()]:
            for run in trial.runs:
                is_waiting = run.result is None and not run.was_launched
                if is_waiting and num_launched < self.settings.n_workers:
                    self._launch(trial, run)
                    num_launched += not (run.launch and run.launch.is_here)

    def _launch(self, trial: Trial, run: Run) -> None:
        gpus = self._free_gpus()
        if gpus is None:
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        about = {"trial": trial.number, "driver": self.name, "gpus": gpus}
        # Before the launch: the run finds out by this file that it is a trial.
        write_durably(run.folder / TRIAL, json.dumps(about))
        # Which GPUs a run sees can only be set for a process of its own.
        is_alone = self.settings.n_workers == 1 and not gpus
        run.launch = Launch(self.launcher, run.overrides, trial.number, run.folder, is_alone, gpus)
        self._launches.append(run.launch)
        if not run.launch.is_here:
            run.launch.start()
            return
        with self._watched(trial):
            run.launch.start()
        self._settle(trial)

    def _free_gpus(self) -> tuple[str, ...] | None:
        """Return the GPUs for one more run; ``None`` while other runs have them all."""
        if not self.settings.gpus:
            return ()
        held = {gpu for run in self._runs() if run.result is None for gpu in run.gpus}
        return next((gpus for gpus in self.settings.gpus if held.isdisjoint(gpus)), None)

    @contextmanager
    def _watched(self, trial: Trial) -> Iterator[None]:
        """Watch over a trial that runs in this very thread, from another one."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(_POLL_S):
                self._judge.watch_over(trial)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _settle(self, trial: Trial) -> None:
        """Record a trial whose runs have all ended."""
        results = trial.results()
        if results is None or trial.number not in self.trials:
            return
        self._judge.report_values(trial)
        self._judge.warn_if_unjudged(trial, results)
        self._recorder.record(trial, results)
        del self.trials[trial.number]
        end = recorder.end_text(self.study, trial.number)
        progress = recorder.progress_text(self.study, self.settings, self.num_failed())
        log.info("%s; %s, %d running", end, progress, len(running(self.study)))
        write_results(self.sweep)

    def _interrupt(self) -> None:
        """End what runs, and leave a study that can go on."""
        runs = self._runs()
        if runs:
            log.info(
                "interrupted: ending %d trials; they are repeated when the sweep goes on",
                len(self.trials),
            )
        try:
            for trial in self.trials.values():
                trial.stop(recorder.INTERRUPTED)
            deadline = time.monotonic() + _END_S
            while any(map(_is_ending, runs)) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            for run in runs:
                run.kill()
            with suppress(KeyboardInterrupt):
                self._record_interrupted()

    def _record_interrupted(self) -> None:
        for trial in [*self.trials.values()]:
            results = trial.results()
            if results and all(result["state"] == "complete" for result in results):
                self._recorder.record(trial, results)
            else:
                self._recorder.repeat(trial, recorder.INTERRUPTED, counts=False)
        write_results(self.sweep)


def _is_ending(run: Run) -> bool:
    """Return whether a stopped run still goes on; one that waits for its turn never begins."""
    return run.was_launched and run.look() is None and run.is_known_to_go_on()
