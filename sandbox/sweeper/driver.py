"""The driver of a sweep: asks for trials, hands them to the launcher, and tells the study how they ended."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

from sandbox.planning.wording import near
from sandbox.running.trial import TICKET, Observed, SignsOfLife
from sandbox.sweeper import ending
from sandbox.sweeper.ending import Ending
from sandbox.sweeper.launching import Launch, is_slurm
from sandbox.sweeper.runs import Result, Run, Trial
from sandbox.sweeper.settings import Settings
from sandbox.sweeper.space import SearchSpace
from sandbox.sweeper.study import locked
from sandbox.system.files import write_durably

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_LOOK_S = 0.2
_OTHERS_S = 2.0
_END_S = 40.0


class Driver:
    """One process that works on a sweep; several may, at once or one after another.

    Args:
        study: The study, with its sampler and pruner.
        space: The search space.
        settings: What the sweeper was told.
        launcher: The launcher, set up.
        overrides: The overrides that a trial's parameters stand for, and one seed, if there are seeds.
        folder: Folder of the sweep.
        on_end: Called after each trial that ended.
    """

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        settings: Settings,
        launcher: Launcher,
        overrides: Callable[[Any, Any], list[str]],
        folder: Path,
        on_end: Callable[[], None],
    ) -> None:
        self.study = study
        self.space = space
        self.settings = settings
        self.launcher = launcher
        self.overrides = overrides
        self.folder = folder
        self.on_end = on_end
        self.name = f"{platform.node()}-{os.getpid()}-{time.time_ns()}"
        self.trials: dict[int, Trial] = {}
        self._began = time.time()
        self._drivers: dict[str, Observed] = {}
        self._suspects: dict[int, Trial] = {}
        self._launches: list[Launch] = []
        self._looked_at_others = -_OTHERS_S
        self._is_warned = False
        self._ending = Ending(study, settings, self.name)

    def run(self) -> None:
        """Work until the study has its trials, or too many failed; interrupted, end what runs."""
        signs = self.folder / "drivers" / f"{self.name}.json"
        signs.parent.mkdir(exist_ok=True)
        with SignsOfLife(signs):
            try:
                while self._step():
                    if self.trials or self._num_wanted() <= 0:
                        time.sleep(_LOOK_S)
            except KeyboardInterrupt:
                self._interrupt()
                raise
        for launch in self._launches:
            launch.end()
        signs.unlink(missing_ok=True)

    def num_failed(self) -> int:
        """Trials that have failed since this driver began."""
        return ending.num_failed(self.study, self._began)

    def _step(self) -> bool:
        """Do what can be done now; whether there is more to come."""
        for trial in [*self.trials.values()]:
            self._watch_over(trial)
            self._settle(trial)
        self._start_waiting()
        if self._num_free() <= 0:
            return True
        self._look_at_others()
        if self._num_wanted() > 0:
            self._ask()
        return bool(self.trials) or self._num_wanted() > 0 or self._others_matter()

    def _num_free(self) -> int:
        busy = sum(run.result is None for trial in self.trials.values() for run in trial.runs)
        return self.settings.n_workers - busy

    def _num_wanted(self) -> int:
        """How many more trials the study needs than it has or runs."""
        if self.num_failed() > self.settings.max_failures:
            return 0
        return (
            self.settings.n_trials
            - ending.num_done(self.study, self.settings)
            - len(self._running())
        )

    def _running(self) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _others_matter(self) -> bool:
        """Whether trials of other drivers run whose failure would leave us something to do."""
        return self.num_failed() <= self.settings.max_failures and bool(self._running())

    def _ask(self) -> None:
        """Take as many trials as there are slots; nobody else asks meanwhile."""
        with locked(self.folder):
            while self._num_free() > 0 and self._num_wanted() > 0:
                asked = self.study.ask(self.space.distributions)
                extend = self.settings.custom_search_space
                if extend is not None:
                    extend(asked)
                seeds = self.settings.seeds or (None,)
                names = [run_name(asked.number, seed) for seed in seeds]
                about = {"driver": self.name, "runs": names, "is_slurm": is_slurm(self.launcher)}
                self.study._storage.set_trial_user_attr(asked._trial_id, "run", about)
                runs = [
                    self._run(name, self.overrides(asked, seed), is_slurm(self.launcher))
                    for name, seed in zip(names, seeds, strict=True)
                ]
                (self.folder / str(asked.number)).mkdir()  # never one that is there
                self.trials[asked.number] = Trial(asked.number, asked._trial_id, runs)
        self._start_waiting()

    def _run(self, name: str, overrides: list[str], is_slurm: bool) -> Run:
        return Run(self.folder / name, overrides, is_slurm, self.settings.lost_after_s)

    def _start_waiting(self) -> None:
        """Launch the runs of our trials that have not been."""
        num_launched = sum(
            run.result is None and run.was_launched
            for trial in self.trials.values()
            for run in trial.runs
        )
        for trial in [*self.trials.values()]:
            for run in trial.runs:
                if (
                    num_launched < self.settings.n_workers
                    and not run.was_launched
                    and run.result is None
                ):
                    self._launch(trial, run)
                    num_launched += not (run.launch and run.launch.is_here)

    def _launch(self, trial: Trial, run: Run) -> None:
        gpus = self._free_gpus()
        if gpus is None:
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        ticket = {"trial": trial.number, "driver": self.name, "gpus": gpus}
        write_durably(run.folder / TICKET, json.dumps(ticket))
        is_alone = self.settings.n_workers == 1 and not gpus
        run.launch = Launch(self.launcher, run.overrides, trial.number, run.folder, is_alone, gpus)
        self._launches.append(run.launch)
        if not run.launch.is_here:
            run.launch.start()
            return
        with self._watching(trial):
            run.launch.start()
        self._settle(trial)

    def _free_gpus(self) -> tuple[str, ...] | None:
        """GPUs for one more run, none where none are dealt out; ``None`` while other runs have them all."""
        if not self.settings.gpus:
            return ()
        runs = [run for trial in self.trials.values() for run in trial.runs]
        held = {gpu for run in runs if run.result is None for gpu in run.gpus}
        return next((gpus for gpus in self.settings.gpus if held.isdisjoint(gpus)), None)

    @contextmanager
    def _watching(self, trial: Trial) -> Iterator[None]:
        """Watch over a trial that runs in this very thread."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(_LOOK_S):
                self._watch_over(trial)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _watch_over(self, trial: Trial) -> None:
        """Let the pruner judge a trial, by the first of its seeds, and end it when its time is up."""
        limit = self.settings.timeout_min
        if limit is not None and any(run.seconds() > 60 * limit for run in trial.runs):
            trial.stop(f"timed out after {limit:g} min")
        self._judge(trial)

    def _judge(self, trial: Trial) -> None:
        """Tell the study what is new of the pruner's metric, and let the pruner look after each value."""
        metric, storage = self.settings.prune_on, self.study._storage
        for step, value in trial.runs[0].new_values(metric) if metric else ():
            number = trial.last_step + 1 if step is None else int(step)
            if (
                trial.is_stopped or number <= trial.last_step
            ):  # iterations count from the start again
                continue
            trial.last_step = number
            storage.set_trial_intermediate_value(
                trial.trial_id, number, self.settings.judged(value)
            )
            if self.study.pruner.prune(self.study, storage.get_trial(trial.trial_id)):
                trial.stop(ending.PRUNED)

    def _warn_of_nothing_to_judge(self, trial: Trial, results: Sequence[Result]) -> None:
        """Say, once, that the pruner's metric does not come: a mistyped name prunes nothing, silently."""
        metric, names = self.settings.prune_on, trial.runs[0].metrics
        if (
            metric is None
            or self._is_warned
            or results[0]["state"] != "complete"
            or metric in names
        ):
            return
        self._is_warned = True
        log.warning(
            "hydra.sweeper.prune_on: trial %d recorded no %s, and was not judged%s",
            trial.number,
            metric,
            near(metric, sorted(names)),
        )

    def _settle(self, trial: Trial) -> None:
        results = trial.results()
        if results is None or trial.number not in self.trials:
            return
        self._judge(trial)
        self._warn_of_nothing_to_judge(trial, results)
        self._ending.tell(trial, results)
        del self.trials[trial.number]
        log.info(
            "%s; %s, %d running",
            ending.told(self.study, trial.number),
            ending.progress(self.study, self.settings, self.num_failed()),
            len(self._running()),
        )
        self.on_end()

    def _look_at_others(self) -> None:
        """Take up trials whose driver is gone: await those that run, repeat those that do not."""
        if time.monotonic() - self._looked_at_others < _OTHERS_S:
            return
        self._looked_at_others = time.monotonic()
        if all(trial.number in self.trials for trial in self._running()):
            return
        with locked(self.folder):
            for frozen in self._running():
                if frozen.number not in self.trials and not self._has_driver(frozen):
                    self._take_up(frozen)

    def _has_driver(self, frozen: FrozenTrial) -> bool:
        name = str(frozen.user_attrs.get("run", {}).get("driver"))
        path = self.folder / "drivers" / f"{name}.json"
        driver = self._drivers.setdefault(name, Observed(path, self.settings.lost_after_s))
        return bool(driver.is_alive())

    def _take_up(self, frozen: FrozenTrial) -> None:
        about = frozen.user_attrs.get("run", {"runs": [], "is_slurm": False})
        trial = self._suspects.setdefault(
            frozen.number,
            Trial(
                frozen.number,
                frozen._trial_id,
                [self._run(name, [], about["is_slurm"]) for name in about["runs"]],
                max(frozen.intermediate_values, default=-1),
            ),
        )
        results = [run.look() for run in trial.runs]
        if any(result and result["state"] == "lost" for result in results) or not trial.runs:
            trial.stop(ending.GIVEN_UP)
            self._ending.repeat(trial, "its driver and its process are gone")
            log.info("%s", ending.told(self.study, frozen.number))
        elif all(run.result or run.lives() for run in trial.runs):
            log.info("trial %d of an earlier driver: %s", frozen.number, _named(results))
            self.study._storage.set_trial_user_attr(
                frozen._trial_id, "run", {**about, "driver": self.name}
            )
            self.trials[frozen.number] = trial

    def _interrupt(self) -> None:
        """End what runs, and leave a study that goes on with it."""
        runs = [run for trial in self.trials.values() for run in trial.runs]
        if runs:
            log.info(
                "interrupted: ending %d trials; they are repeated when the sweep goes on",
                len(self.trials),
            )
        try:
            for trial in self.trials.values():
                trial.stop(ending.INTERRUPTED)
            deadline = time.monotonic() + _END_S
            while any(_is_ending(run) for run in runs) and time.monotonic() < deadline:
                time.sleep(_LOOK_S)
        finally:
            for run in runs:
                run.kill()
            with suppress(KeyboardInterrupt):
                for trial in [*self.trials.values()]:
                    results = trial.results()
                    if results and all(result["state"] == "complete" for result in results):
                        self._ending.tell(trial, results)
                    else:
                        self._ending.repeat(trial, ending.INTERRUPTED, counts=False)
            self.on_end()


def run_name(number: int, seed: int | None) -> str:
    """The folder of a run within its sweep's."""
    return str(number) if seed is None else f"{number}/seed_{seed}"


def _is_ending(run: Run) -> bool:
    """Whether a run that was told to end is still at it; one that waits for its turn never begins."""
    return run.was_launched and run.look() is None and run.lives()


def _named(results: list[Any]) -> str:
    return "it has ended" if all(results) else "it still runs, and is awaited"
