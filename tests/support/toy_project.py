"""A user's project with toy components, ways to run it, and experiments for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.problem import PlanError, Problem

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a run of the command line."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Project:
    """A user's folder with a ``conf/`` of its own, whose experiments use the toys.

    Args:
        root: The folder; the working directory of its runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger_path = root / "ledger.txt"
        self.gate = root / "gate"
        self.gate.mkdir()
        self.variables = {
            "SANDBOX_ALLOW_TARGETS": "toys.*",
            "TOYS_LEDGER": str(self.ledger_path),
            "TOYS_GATE": str(self.gate),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]),
            "XDG_CONFIG_HOME": str(root / "settings"),
            "OMP_NUM_THREADS": "1",
            "HYDRA_FULL_ERROR": "",
        }
        self._started: list[subprocess.Popen[str]] = []

    def write(self, name: str, body: str | dict[str, Any]) -> None:
        """Write an experiment: YAML text, or the same as a mapping."""
        path = self.root / "conf" / "experiment" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = body if isinstance(body, str) else yaml.safe_dump(body, sort_keys=False)
        path.write_text(f"# @package _global_\n{text}")

    def compose(self, name: str, *overrides: str) -> Any:
        """Compose the config of an experiment as the command line does."""
        return compose(f"+experiment={name}", "watcher.mode=disabled", *overrides)

    def run(self, name: str, *overrides: str) -> Any:
        """Run an experiment in this process; return its objective."""
        from sandbox.running import run as app

        self.run_dir = self.root / "runs" / str(len([*(self.root / "runs").glob("*")]))
        self.run_dir.mkdir(parents=True)
        return app.run(self.compose(name, *overrides), self.run_dir)

    def problems(self, name: str, *overrides: str) -> list[Problem]:
        """Return the problems of the plan; nothing was run or written."""
        with pytest.raises(PlanError) as caught:
            self.run(name, *overrides)
        assert self.ran() == []
        assert not (self.root / "outputs").exists()
        return caught.value.problems

    def start(self, name: str, *overrides: str, **variables: str) -> subprocess.Popen[str]:
        """Start ``python -m sandbox`` on an experiment, as the leader of a process group."""
        return self.start_command(
            f"+experiment={name}", "watcher.mode=disabled", *overrides, **variables
        )

    def start_command(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start ``python -m sandbox`` with these arguments."""
        started = subprocess.Popen(
            [sys.executable, "-m", "sandbox", *arguments],
            cwd=self.root,
            env={**os.environ, **self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(started)
        return started

    def command(self, *arguments: str, **variables: str) -> Outcome:
        """Run ``python -m sandbox`` with these arguments to its end."""
        return finish(self.start_command(*arguments, **variables))

    def main(self, name: str, *overrides: str, **variables: str) -> Outcome:
        """Run ``python -m sandbox`` on an experiment to its end."""
        return finish(self.start(name, *overrides, **variables))

    def ran(self) -> list[str]:
        """Return the toys that ran since the last call, in order."""
        lines = self.ledger_path.read_text().splitlines() if self.ledger_path.exists() else []
        self.ledger_path.unlink(missing_ok=True)
        return lines

    def infos(self) -> Any:
        """Return the context infos of the last run in this process."""
        return json.loads((self.run_dir / "context_infos.json").read_text())

    def info(self, job: str, pipeline: str = "main") -> dict[str, Any]:
        """Return the last outputs of one job."""
        found: list[dict[str, Any]] = self.infos()[pipeline]
        return [info for info in found if info["meta_name"] == job][-1]

    def metrics(self, run_dir: Path | None = None) -> dict[str, list[Any]]:
        """Return the values by metric, in order, of a run folder; by default of the last run."""
        found: dict[str, list[Any]] = {}
        for line in ((run_dir or self.run_dir) / "metrics.jsonl").read_text().splitlines():
            for name, value in json.loads(line)["metrics"].items():
                found.setdefault(name, []).append(value)
        return found

    def wait_for(self, *names: str) -> list[int]:
        """Wait until these components are at their gates; return their process ids."""
        paths = [self.gate / f"{name}.here" for name in names]
        until(
            lambda: all(path.exists() and path.read_text() for path in paths), f"nobody at {names}"
        )
        return [int(path.read_text()) for path in paths]

    def let_go(self, *names: str) -> None:
        """Open these gates."""
        for name in names:
            (self.gate / f"{name}.go").touch()

    def runs(self, name: str) -> list[Path]:
        """Run folders of an experiment, oldest first."""
        return sorted(path for path in (self.root / "outputs" / name).glob("*") if path.is_dir())

    def records(self, job: str) -> list[Path]:
        """Records of a job in the store."""
        return sorted((self.root / "outputs" / "store" / job).glob("*/record.json"))

    def watched(self, job: str) -> list[Any]:
        """Metrics in the only record of a job."""
        from sandbox.store.records import JobStore

        (path,) = self.records(job)
        record = JobStore(path.parents[2]).find(job, path.parent.name)
        assert record is not None
        return [*record.events()]

    def end(self) -> None:
        """End what is left of the runs that were started."""
        for started in self._started:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.communicate()


def finish(started: subprocess.Popen[str], timeout_s: float = 90) -> Outcome:
    """Wait for the end of a run."""
    out, err = started.communicate(timeout=timeout_s)
    return Outcome(started.returncode, out, err)


def until(
    condition: Callable[[], bool], otherwise: str, timeout_s: float = 60, *, poll_s: float = 0.02
) -> None:
    """Wait for a condition that another process makes true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(poll_s)


def lasts(condition: Callable[[], bool], otherwise: str, duration_s: float) -> None:
    """Require that a condition holds for some time, in which another process could break it."""
    deadline = time.monotonic() + duration_s
    while time.monotonic() < deadline:
        assert condition(), otherwise
        time.sleep(0.02)


async def until_async(condition: Callable[[], bool], otherwise: str, timeout_s: float = 60) -> None:
    """Wait for a condition that another process makes true, while other tasks go on."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Return True if a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or just now
        return False


def compose(*overrides: str, config: str = "config") -> Any:
    """Compose the real ``conf/``, with that of the working directory, as the command line does."""
    import hydra

    from sandbox.hydra_search_path import CONF
    from sandbox.planning.resolvers import register_resolvers

    register_resolvers()
    with hydra.initialize_config_dir(config_dir=str(CONF)):
        return hydra.compose(config, overrides=list(overrides))


CHAIN = """
experiment_name: chain
objective: score.accuracy
network: small
pipelines:
  main:
    execution_jobs: [data, train]
    evaluation_jobs: [score]
defaults:
  - /hook@jobs.data: general_data_executor
  - /hook@jobs.train: train_model
  - /hook@jobs.score: evaluate_model
  - _self_
jobs:
  data:
    executor: {_target_: toys.Rows, num_rows: 4}
  train:
    executor: {_target_: toys.Training, dataset_path: "${output:data.path}", model: "${network}"}
  score:
    eval_obj: ${output:train.checkpoint_path}
    evaluator: {_target_: toys.Score}
"""
"""Make data, train on it in a program, score the checkpoint."""


def experiment(jobs: dict[str, tuple[str, dict[str, Any]]], **more: Any) -> dict[str, Any]:
    """An experiment of jobs by name: hook and node; they run in this order.

    Each job is in the usual job list of its hook.
    """
    usual = {"general_probe": "probe_jobs", "evaluate_model": "evaluation_jobs"}
    lists: dict[str, list[str]] = {}
    for name, (hook, _) in jobs.items():
        lists.setdefault(usual.get(hook, "execution_jobs"), []).append(name)
    return {
        "defaults": [*({f"/hook@jobs.{name}": hook} for name, (hook, _) in jobs.items()), "_self_"],
        "experiment_name": "toy",
        "pipelines": {"main": lists},
        "jobs": {name: node for name, (_, node) in jobs.items()},
        **more,
    }


def data_job(
    target: str, *, also: dict[str, Any] | None = None, **arguments: Any
) -> tuple[str, dict[str, Any]]:
    """A job of a data executor, ``also`` holding reserved keys."""
    return "general_data_executor", {
        "executor": {"_target_": f"toys.{target}", **arguments},
        **(also or {}),
    }


def values(*jobs: str, **more: Any) -> dict[str, Any]:
    """An experiment of ``toys.Value`` jobs, in this order, each with what its keyword adds."""
    nodes = {}
    for name in jobs:
        node = {"executor": {"_target_": "toys.Value", "name": name}}
        nodes[name] = merge(node, more.pop(name, {}))
    return {
        "defaults": [*({f"/hook@jobs.{name}": "general_data_executor"} for name in jobs), "_self_"],
        "experiment_name": "values",
        "pipelines": {"main": {"execution_jobs": list(jobs)}},
        "jobs": nodes,
        **more,
    }


def merge(node: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return ``node`` with the additions of ``other``, at any depth."""
    both = {
        key: merge(node[key], value)
        if isinstance(value, dict) and isinstance(node.get(key), dict)
        else value
        for key, value in other.items()
    }
    return {**node, **both}
