"""Break a run at chosen places, and require a clear end, nothing lost, and that it goes on.

    python scripts/campaigns/faults.py                    each fault once
    python scripts/campaigns/faults.py --minutes 5        more rounds, the later ones drawn
    python scripts/campaigns/faults.py --seed 3 --only 7  one try again

One try: a run with a fault, then the same command without it. The first ends with status 0 only if
everything is there, prints no traceback, and names what is wrong. The second completes, and no job
whose record was finished runs again. The faults are in ``fault_list.py``.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
sys.path[:0] = [str(_HERE), str(_ROOT)]
os.environ.update(
    SANDBOX_ALLOW_TARGETS="fault_toys.*",
    SANDBOX_LOST_AFTER_S="1",
    OMP_NUM_THREADS="1",
    WANDB_MODE="offline",
)

from campaign import Campaign, campaign, forked  # noqa: E402
from fault_kinds import MARKER, Fault  # noqa: E402
from fault_list import FAULTS, drawn  # noqa: E402
from fault_toys import NUM_STEPS  # noqa: E402

EXPERIMENT = """# @package _global_
experiment_name: faults
objective: max(score.value)
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: general_data_executor
  - /hook@jobs.score: evaluate_model
  - _self_
pipelines:
  main:
    execution_jobs: [data, train]
    evaluation_jobs: [score]
jobs:
  data:
    executor: {_target_: fault_toys.Rows, num_rows: 3}
  train:
    executor: {_target_: fault_toys.Training, dataset_path: "${output:data.path}"}
  score:
    eval_obj: ${output:train.path}
    evaluator: {_target_: fault_toys.Score}
    map: {evaluator: {factor: [1.0, 2.0]}}
"""
NUM_ELEMENTS = 4


def main() -> int:
    """Run the campaign; return the exit status."""
    done = campaign("faults", len(FAULTS))
    _preload()
    for number, draw in done.tries():
        fault = FAULTS[number] if number < len(FAULTS) else drawn(draw)
        with tempfile.TemporaryDirectory(prefix="faults_") as folder:
            _try(done, number, fault, Path(folder).resolve(), draw)
    return done.end()


def _preload() -> None:
    """Import what every run needs, so that a fork has it."""
    from hydra.core.plugins import Plugins

    for name in ("__main__", "cli.run", "running.pipeline", "running.explain", "sweeper.sweep"):
        importlib.import_module(f"sandbox.{name}")
    for name in (
        "yaml",
        "filelock",
        "psutil",
        "optuna",
        "hydra_plugins.hydra_optuna_sweeper._impl",
    ):
        importlib.import_module(name)
    Plugins.instance()


def _try(done: Campaign, number: int, fault: Fault, root: Path, draw: random.Random) -> None:
    """Make one try and count what came of it."""
    reason = fault.missing()
    if reason:
        done.figures["skipped"] += 1
        print(f"skipped: {fault.name}: {reason}")
        return
    project = FaultProject(root, fault.overrides)
    try:
        problems = _problems(project, fault, draw)
    finally:
        fault.clean_up(root)
    done.figures["faults"] += 1
    never = fault.is_drawn and not project.has_failed_call
    done.figures["faults drawn that never happened"] += never
    survived = project.codes[fault.after_run] == 0 and not never
    done.figures["runs that were complete in spite of it"] += survived
    if problems:
        text = f"{fault.name}: {'; '.join(problems)}"
        done.fail(number, text, project.last_text.replace("\n", "\n  "))


def _problems(project: FaultProject, fault: Fault, draw: random.Random) -> list[str]:
    found = []
    if fault.after_run:
        project.run()
        if project.codes[-1] != 0:
            return [f"the run before ended with {project.codes[-1]}"]
    fault.before(project.root, draw)
    finished = project.finished()
    code = project.run(fault)
    found += project.faults_of_output()
    missing = project.missing()
    if fault.breakage and not fault.is_drawn and not project.has_failed_call:
        found.append("no call failed: the fault is at no place of the run")
    if code is None:
        found.append("it hangs")
    elif code == 0 and missing:
        found.append(f"status 0, although {', '.join(missing)}")
    elif code == 0 and fault.must_fail:
        found.append("status 0, expected another")
    elif code != 0 and not fault.may_fail:
        found.append(f"status {code}, expected 0")
    elif code not in (0, fault.status):
        found.append(f"status {code}, expected {fault.status}")
    elif code != 0 and not re.search(fault.says, project.last_text):
        found.append(f"the message does not say {fault.says!r}")
    if not fault.repeats:
        found += project.repeated(finished, "during the fault")
    if found:
        return found
    fault.heal(project.root)
    finished = project.finished()
    code = project.run()
    found += project.faults_of_output()
    missing = project.missing()
    if code != 0:
        found.append(f"the same command ended with {code}")
    elif missing:
        found.append(f"afterwards {', '.join(missing)}")
    return found + project.repeated(finished, "afterwards")


class FaultProject:
    """A folder with the experiment, and its runs.

    Args:
        root: The folder, empty.
        overrides: Arguments of the command besides the usual ones.
    """

    def __init__(self, root: Path, overrides: Sequence[str]) -> None:
        self.root = root
        self.codes: list[int | None] = []
        self.last_text = ""
        self.is_sweep = "--multirun" in overrides
        self._ledger = root / "ledger.txt"
        self._overrides = overrides
        path = root / "conf/experiment/faults.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(EXPERIMENT)

    @property
    def has_failed_call(self) -> bool:
        """True if a call of the operating system failed as it should."""
        return (self.root / MARKER).exists()

    @property
    def run_dir(self) -> Path:
        return self.root / "outputs/run"

    @property
    def store(self) -> Path:
        return self.root / "outputs/store"

    def run(self, fault: Fault | None = None) -> int | None:
        """Run the command in a fork, with a fault; return its exit status."""
        self._ledger.unlink(missing_ok=True)
        output = self.root / "output.txt"

        def body() -> int:
            from sandbox.__main__ import main as sandbox_main

            os.chdir(self.root)
            os.environ["FAULTS_LEDGER"] = str(self._ledger)
            where = (
                "hydra.sweep.dir=outputs/sweep" if self.is_sweep else "hydra.run.dir=outputs/run"
            )
            words = ["+experiment=faults", "watcher.mode=disabled", where]
            sys.argv = ["sandbox", *words, *self._overrides]
            if fault:
                fault.install(self.root)
            return sandbox_main()

        self.codes.append(forked(body, output, longest_s=90))
        self.last_text = output.read_text(errors="replace")
        return self.codes[-1]

    def faults_of_output(self) -> list[str]:
        """Return what nobody should see."""
        signs = ("Traceback (most recent call last)", "--- Logging error", "Exception ignored")
        return [f"it prints {sign!r}" for sign in signs if sign in self.last_text]

    def finished(self) -> set[str]:
        """Return ``<job>/<fingerprint>`` of the elements whose record and outputs are there."""
        from sandbox.store.records import _parsed

        found = set()
        for path in self.store.glob("*/*/record.json") if self.store.is_dir() else ():
            try:
                record = _parsed(path.read_text(), path.parent)
            except (ValueError, OSError, RecursionError):
                continue
            if all(Path(output).exists() for output in record.hashes):
                found.add("/".join(path.parts[-3:-1]))
        return found

    def repeated(self, finished: set[str], when: str) -> list[str]:
        """Return jobs that ran although they were finished, or twice in one run."""
        lines = self._ledger.read_text().split() if self._ledger.exists() else []
        forced = "data/" if "force=[data]" in self._overrides else "nothing"
        again = [line for line in lines if line in finished and not line.startswith(forced)]
        twice = [line for line, count in Counter(lines).items() if count > 1]
        return [f"{line} ran again {when}" for line in dict.fromkeys([*again, *twice])]

    def missing(self) -> list[str]:
        """Return what a complete run has and this one has not."""
        if self.is_sweep:
            expected = 2 * NUM_ELEMENTS
            return [] if len(self.finished()) >= expected else ["records are missing"]
        found = [] if len(self.finished()) >= NUM_ELEMENTS else ["records are missing"]
        links = [*(self.run_dir / "jobs").glob("*"), *(self.run_dir / "jobs/score").glob("*")]
        if sum((link / "record.json").exists() for link in links) < NUM_ELEMENTS:
            found.append("links are missing")
        try:
            infos = json.loads((self.run_dir / "context_infos.json").read_text())["main"]
            names = [info["meta_name"] for info in infos]
        except (OSError, ValueError, KeyError, TypeError):
            names = []
        if names != ["data", "train", "score"]:
            found.append("context_infos.json is not complete")
        return found + self._missing_metrics()

    def _missing_metrics(self) -> list[str]:
        from sandbox.watchers.metrics_file import read_events

        steps, names = set(), set()
        try:
            for step, metrics in read_events(self.run_dir):
                names |= set(metrics)
                steps |= {step} if "train.loss" in metrics else set()
        except OSError:
            return ["metrics.jsonl cannot be read"]
        whole = steps == {*range(NUM_STEPS)} and "objective" in names
        return [] if whole else ["metrics.jsonl is not complete"]


if __name__ == "__main__":
    sys.exit(main())
