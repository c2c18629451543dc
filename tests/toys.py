"""Toy components on the real bases: small, fast, and every run of one leaves a line in a ledger.

The environment variable ``TOYS_LEDGER`` names the ledger; tests read from it what really ran.
``TOYS_GATE`` names a folder in which components that are told to wait look for ``<name>.go``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.job import Outputs, Secret
from sandbox.pools import BaseDataPoolManipulator
from sandbox.system import process

WORKER = Path(__file__).with_name("toy_worker.py")


def note(name: str) -> None:
    """Leave a line in the ledger."""
    with Path(os.environ["TOYS_LEDGER"]).open("a") as ledger:
        ledger.write(f"{name}\n")


def wait_at_gate(name: str) -> None:
    """Say that ``name`` is here, then wait until the test lets it go."""
    gate = Path(os.environ["TOYS_GATE"])
    (gate / f"{name}.here").write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not (gate / f"{name}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody let {name} go")
        time.sleep(0.02)


class Rows(BaseDataExecutor):
    """Make a data set of numbered rows."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path", "num_rows")

    def __init__(self, num_rows: int = 4, word: str = "row", gate: str | None = None) -> None:
        if num_rows < 1:
            raise ValueError(f"num_rows must be positive, got {num_rows}")
        self.num_rows = num_rows
        self.word = word
        self.gate = gate

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note(f"rows {self.word} {self.num_rows}")
        path = output_dir / "data.jsonl"
        path.write_text(
            "".join(json.dumps({"text": f"{self.word} {i}"}) + "\n" for i in range(self.num_rows))
        )
        if self.gate:
            wait_at_gate(self.gate)
        return {"path": path, "num_rows": self.num_rows}


class Pools(BaseDataPoolManipulator):
    """Cut a data set into pools, one sample after another."""

    def __init__(self, dataset_path: Path, num_pools: int = 2) -> None:
        self.dataset_path = dataset_path
        self.num_pools = num_pools

    def run(self, *, output_dir: Path) -> Outputs:
        note(f"pools {self.num_pools}")
        lines = self.dataset_path.read_text().splitlines(keepends=True)
        paths = [output_dir / f"pool_{number}.jsonl" for number in range(self.num_pools)]
        for number, path in enumerate(paths):
            path.write_text("".join(lines[number :: self.num_pools]))
        return {"paths": paths}


class Training(BaseModelExecutor):
    """Train in a program of its own, which reports a loss a step and writes a checkpoint."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)

    def __init__(
        self,
        dataset_path: Path,
        learning_rate: float = 0.1,
        num_steps: int = 3,
        model: str = "small",
        seed: int = 0,
        start_path: Path | None = None,
        gate: str | None = None,
        die_at: int | None = None,
        exit_status: int = 0,
    ) -> None:
        self.dataset_path = dataset_path
        self.learning_rate = learning_rate
        self.num_steps = num_steps
        self.model = model
        self.seed = seed
        self.start_path = start_path
        self.gate = gate
        self.die_at = die_at
        self.exit_status = exit_status

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        note(f"training {self.dataset_path.name} {self.model} {self.learning_rate:g} {self.seed}")
        request = {
            **{key: value for key, value in vars(self).items() if not isinstance(value, Path)},
            "start": self.start_path.read_text() if self.start_path else None,
            "num_rows": len(self.dataset_path.read_text().splitlines()),
            "checkpoint_path": str(output_dir / "checkpoint.json"),
        }
        path = output_dir / "request.json"
        path.write_text(json.dumps(request))
        await process.run_async([sys.executable, WORKER, path], log_path=log_path)

    def outputs(self, output_dir: Path) -> Outputs:
        return {"checkpoint_path": output_dir / "checkpoint.json"}


class ResumableTraining(BaseModelExecutor):
    """Count to ``num_steps`` over as many attempts as it takes; each attempt makes two steps."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("checkpoint_path",)
    RESUMABLE: ClassVar[bool] = True

    def __init__(self, num_steps: int = 3) -> None:
        self.num_steps = num_steps

    async def _run(self, data: Any, *, output_dir: Path, log_path: Path) -> None:
        path = output_dir / "steps.txt"
        done = len(path.read_text().split()) if path.exists() else 0
        note(f"resumed at {done}")
        with path.open("a") as steps, log_path.open("a") as log:
            for step in range(done, min(done + 2, self.num_steps)):
                steps.write(f"{step}\n")
                log.write(json.dumps({"metrics": {"loss": 1 / (step + 1)}, "step": step}) + "\n")
        if done + 2 < self.num_steps:
            raise RuntimeError("the machine went away")

    def outputs(self, output_dir: Path) -> Outputs:
        return {"checkpoint_path": output_dir / "steps.txt"}


class Score(BaseEvaluator):
    """Score a checkpoint: accuracy is 0.1 for each row that it was trained on, plus its seed and rate."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("accuracy", "loss", "per_group", "details_path")
    LOWER_IS_BETTER: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        checkpoint = json.loads(Path(eval_obj).read_text())
        note(f"score {checkpoint['model']} {eval_type}")
        accuracy = checkpoint["value"] + self.offset
        details = output_dir / "details.json"
        details.write_text(json.dumps({"accuracy": accuracy}))
        per_group = {"easy": {"accuracy": accuracy * 2}, "hard": {"accuracy": accuracy / 2}}
        return {
            "accuracy": accuracy,
            "loss": 1 - accuracy,
            "per_group": per_group,
            "details_path": details,
        }


class Value(BaseDataExecutor):
    """Hand a value on, with what the process that did it sees of the machine."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("value", "process")

    def __init__(
        self,
        value: Any = 0,
        name: str = "value",
        gate: str | None = None,
        seed: int = 0,
        error: str | None = None,
        killed: bool = False,
    ) -> None:
        self.value = value
        self.name = name
        self.gate = gate
        self.seed = seed
        self.error = error
        self.killed = killed

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note(f"{self.name} {json.dumps(self.value)}")
        if self.gate:
            wait_at_gate(self.gate)
        if self.error and not (Path(os.environ["TOYS_GATE"]) / "healed").exists():
            raise RuntimeError(self.error)
        if self.killed and not (Path(os.environ["TOYS_GATE"]) / "healed").exists():
            os.kill(os.getpid(), 9)
        seen = {
            "pid": os.getpid(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        return {"value": self.value, "process": seen}


class Add(BaseDataExecutor):
    """Add up, and hand the sum on in several shapes."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("value", "nested", "values", "path")

    def __init__(self, start: Any = 0, by: float = 1, note: str = "") -> None:
        self.start = start
        self.by = by
        self.note = note

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        value = self.start + self.by
        note(f"add {self.start} {self.by} {self.note}".strip())
        path = output_dir / "value.txt"
        path.write_text(str(value))
        return {
            "value": value,
            "nested": {"deep": {"er": value}},
            "values": [value, -value],
            "path": path,
        }


class Noise(BaseEvaluator):
    """A score that depends on the seed, as real ones do: 1, 2, 4, … for seeds 0, 1, 2, …"""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("score", "label")

    def __init__(self, seed: int = 0, scale: float = 1.0) -> None:
        self.seed = seed
        self.scale = scale

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        note(f"noise {self.scale:g} {self.seed}")
        return {"score": self.scale * 2**self.seed, "label": f"seed {self.seed}"}


class Reader(BaseEvaluator):
    """Count the samples of data sets and read a list of files; both are inputs."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("num_samples",)

    def __init__(
        self,
        dataset_path: Path,
        more: Sequence[Path] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.dataset_path = dataset_path
        self.more = more
        self.options = options or {}

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        note(f"reader {self.dataset_path.name}")
        return {"num_samples": len(self.dataset_path.read_text().splitlines())}


class Unstable(BaseDataExecutor):
    """Write a file: the same at every run, or (``stable: false``) another at each."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, stable: bool = True, error_once_done: bool = False) -> None:
        self.stable = stable
        self.error_once_done = error_once_done

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note("unstable")
        path = output_dir / "numbers.txt"
        path.write_text("the same" if self.stable else str(random.SystemRandom().random()))
        if self.error_once_done and (Path(os.environ["TOYS_GATE"]) / "break").exists():
            raise RuntimeError("broke after writing")
        return {"path": path}


class Checked(BaseDataExecutor):
    """Its arguments fit one another only if ``low`` is below ``high``, which ``check`` finds."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low = low
        self.high = high

    def check(self) -> None:
        """Raises ValueError: ``low`` is not below ``high``."""
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note("checked")
        return {"value": self.low}


class Limited(BaseDataExecutor):
    """Its constructor checks arguments one by one and against each other."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(
        self,
        rows: int,
        steps: int = 1,
        limit: int = 100,
        shares: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; expected at least 1")
        if rows > limit:
            raise ValueError(f"limit is {limit}, there are more rows")
        for share in shares:
            if share > 1:
                raise ValueError(f"shares: {share} is above 1")
        self.rows = rows

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note("limited")
        return {"value": self.rows}


class Login(BaseDataExecutor):
    """Use a secret, and say only how long it is."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("length",)

    def __init__(self, token: Secret | None = None, user: str = "me") -> None:
        self.token = token
        self.user = user

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        note("login")
        log_path.write_text(f"{self.user} logged in\n")
        return {"length": len(self.token or "")}


class Liar(BaseDataExecutor):
    """Returns what it is told to return, whatever it declares."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(self, kind: str = "missing") -> None:
        self.kind = kind

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        (output_dir / "half.txt").write_text("half")
        answers: dict[str, Outputs] = {
            "missing": {},
            "unknown": {"value": 1, "other": 2},
            "unwritten": {"value": output_dir / "nothing.txt"},
            "object": {"value": object()},
            "target": {"value": {"_target_": "os.system"}},
            "interpolation": {"value": "${oc.env:HOME}"},
            "zero": {"value": 0.0},
            "empty": {"value": {}},
        }
        return answers[self.kind]
