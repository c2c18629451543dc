"""Toy components on the real bases: small, fast, and every run of one leaves a line in a ledger.

The environment variable ``TOYS_LEDGER`` names the ledger; tests read from it what really ran.
``TOYS_GATE`` names a folder: a component with a ``gate`` waits there for the file ``<gate>.go``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Le

from sandbox.evaluators import BaseEvaluator
from sandbox.executors import BaseDataExecutor, BaseModelExecutor
from sandbox.job import JobScope, PositiveInt, Secret, rule, score
from sandbox.pools import BaseDataPoolManipulator
from sandbox.system import process

WORKER = Path(__file__).with_name("toy_worker.py")


def note(name: str) -> None:
    """Leave a line in the ledger."""
    with Path(os.environ["TOYS_LEDGER"]).open("a") as ledger:
        ledger.write(f"{name}\n")


def wait_at_gate(name: str) -> None:
    """Announce ``name`` at the gate, then wait until the test opens it."""
    gate = Path(os.environ["TOYS_GATE"])
    (gate / f"{name}.here").write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not (gate / f"{name}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody let {name} go")
        time.sleep(0.02)


def is_healed() -> bool:
    """Return True once a test has ended the failures of its components."""
    return (Path(os.environ["TOYS_GATE"]) / "healed").exists()


@dataclass(frozen=True, kw_only=True)
class RowData:
    """A data set and its size."""

    path: Path
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Rows(BaseDataExecutor):
    """Make a data set of numbered rows."""

    num_rows: PositiveInt = 4
    word: str = "row"
    gate: str | None = None

    def run(self, *, scope: JobScope) -> RowData:
        note(f"rows {self.word} {self.num_rows}")
        path = scope.output_dir / "data.jsonl"
        lines = [json.dumps({"text": f"{self.word} {i}"}) for i in range(self.num_rows)]
        path.write_text("".join(f"{line}\n" for line in lines))
        if self.gate:
            wait_at_gate(self.gate)
        return RowData(path=path, num_rows=self.num_rows)


@dataclass(frozen=True, kw_only=True)
class PoolPaths:
    """Pools, in order."""

    paths: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class Pools(BaseDataPoolManipulator):
    """Cut a data set into pools, one sample after another."""

    dataset_path: Path
    num_pools: int = 2

    def run(self, *, scope: JobScope) -> PoolPaths:
        note(f"pools {self.num_pools}")
        lines = self.dataset_path.read_text().splitlines(keepends=True)
        paths = [scope.output_dir / f"pool_{number}.jsonl" for number in range(self.num_pools)]
        for number, path in enumerate(paths):
            path.write_text("".join(lines[number :: self.num_pools]))
        return PoolPaths(paths=paths)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained model."""

    checkpoint_path: Path


@dataclass(frozen=True, kw_only=True)
class Training(BaseModelExecutor):
    """Train in a program of its own, which reports a loss a step and writes a checkpoint."""

    dataset_path: Path
    learning_rate: float = 0.1
    num_steps: int = 3
    model: str = "small"
    seed: int = 0
    start_path: Path | None = None
    gate: str | None = None
    die_at: int | None = None
    exit_status: int = 0

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        note(f"training {self.dataset_path.name} {self.model} {self.learning_rate:g} {self.seed}")
        request = {
            **{key: value for key, value in vars(self).items() if not isinstance(value, Path)},
            "start": self.start_path.read_text() if self.start_path else None,
            "num_rows": len(self.dataset_path.read_text().splitlines()),
            "checkpoint_path": str(scope.output_dir / "checkpoint.json"),
        }
        path = scope.output_dir / "request.json"
        path.write_text(json.dumps(request))
        await process.run_async([sys.executable, WORKER, path], log_path=scope.log_path)

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        return Checkpoint(checkpoint_path=scope.output_dir / "checkpoint.json")


@dataclass(frozen=True, kw_only=True)
class ResumableTraining(BaseModelExecutor):
    """Count to ``num_steps`` over as many attempts as it takes; each attempt makes two steps."""

    RESUMABLE: ClassVar[bool] = True

    num_steps: int = 3

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        path = scope.output_dir / "steps.txt"
        done = len(path.read_text().split()) if path.exists() else 0
        note(f"resumed at {done}")
        with path.open("a") as steps, scope.log_path.open("a") as log:
            for step in range(done, min(done + 2, self.num_steps)):
                steps.write(f"{step}\n")
                log.write(json.dumps({"metrics": {"loss": 1 / (step + 1)}, "step": step}) + "\n")
        if done + 2 < self.num_steps:
            raise RuntimeError("the machine went away")

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        return Checkpoint(checkpoint_path=scope.output_dir / "steps.txt")


@dataclass(frozen=True, kw_only=True)
class Steps(BaseModelExecutor):
    """Train in a program that saves its state after every second step.

    Before step ``pause_at`` it waits at the gate ``steps``, before step ``end_at`` at ``end``.
    """

    RESUMABLE: ClassVar[bool] = True

    num_steps: int = 12
    pause_at: int = 5
    end_at: int = 11

    async def _run(self, data: Any, *, scope: JobScope) -> None:
        scope.resume_dir.mkdir(exist_ok=True)
        words = [self.num_steps, self.pause_at, self.end_at, scope.resume_dir / "state"]
        program = WORKER.with_name("toy_steps.py")
        await process.run_async(
            [sys.executable, program, *map(str, words)], log_path=scope.log_path
        )

    def outputs(self, *, scope: JobScope) -> Checkpoint:
        path = scope.output_dir / "checkpoint.json"
        path.write_text((scope.resume_dir / "state").read_text())
        return Checkpoint(checkpoint_path=path)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of a checkpoint, also by group, and a file of details."""

    accuracy: float = score()
    loss: float = score(lower_is_better=True)
    per_group: Mapping[str, Mapping[str, float]]
    details_path: Path


@dataclass(frozen=True, kw_only=True)
class Score(BaseEvaluator):
    """Score a checkpoint: 0.1 for each row that it was trained on, plus its seed and rate."""

    offset: float = 0.0

    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> Scores:
        checkpoint = json.loads(Path(eval_obj).read_text())
        note(f"score {checkpoint['model']} {eval_type}")
        accuracy = checkpoint["value"] + self.offset
        details = scope.output_dir / "details.json"
        details.write_text(json.dumps({"accuracy": accuracy}))
        return Scores(
            accuracy=accuracy,
            loss=1 - accuracy,
            per_group={"easy": {"accuracy": accuracy * 2}, "hard": {"accuracy": accuracy / 2}},
            details_path=details,
        )


@dataclass(frozen=True, kw_only=True)
class Grades:
    """Scores of a checkpoint; not all are there for every seed."""

    accuracy: float = score()
    f1: float | None = score()
    tasks: Mapping[str, float]
    details_path: Path


@dataclass(frozen=True, kw_only=True)
class Grade(BaseEvaluator):
    """Score a checkpoint by its rows and its seed; without F1 and a task for some seeds."""

    missing: Sequence[int] = ()

    def run(self, eval_type: str | None, eval_obj: Path, *, scope: JobScope) -> Grades:
        checkpoint = json.loads(eval_obj.read_text())
        seed = checkpoint["seed"]
        note(f"grade {checkpoint['value']:g} {seed}")
        accuracy = checkpoint["value"] + 0.01 * seed**2
        has_all = seed not in self.missing
        path = scope.output_dir / "details.json"
        path.write_text(json.dumps({"accuracy": accuracy}))
        return Grades(
            accuracy=accuracy,
            f1=accuracy / 2 if has_all else None,
            tasks={"easy": accuracy * 2, **({"hard": accuracy / 4} if has_all else {})},
            details_path=path,
        )


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """A result with the name of an output that jobs with elements have."""

    candidates: int


@dataclass(frozen=True, kw_only=True)
class Named(BaseDataExecutor):
    """Count candidates."""

    seed: int = 0

    def run(self, *, scope: JobScope) -> Candidates:
        return Candidates(candidates=self.seed)


@dataclass(frozen=True, kw_only=True)
class SeenValue:
    """A value, and what the process that handed it on saw of the machine."""

    value: Any
    process: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Value(BaseDataExecutor):
    """Hand a value on."""

    value: Any = 0
    name: str = "value"
    gate: str | None = None
    seed: int = 0
    error: str | None = None
    killed: bool = False

    def run(self, *, scope: JobScope) -> SeenValue:
        note(f"{self.name} {json.dumps(self.value, default=str)}")
        if self.gate:
            wait_at_gate(self.gate)
        if self.error and not is_healed():
            raise RuntimeError(self.error)
        if self.killed and not is_healed():
            os.kill(os.getpid(), 9)
        seen = {
            "pid": os.getpid(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        return SeenValue(value=self.value, process=seen)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A sum in several shapes."""

    value: Any
    nested: Mapping[str, Any]
    values: Sequence[Any]
    path: Path


@dataclass(frozen=True, kw_only=True)
class Add(BaseDataExecutor):
    """Add up, and hand the sum on in several shapes."""

    start: Any = 0
    by: Any = 1
    note: str = ""

    def run(self, *, scope: JobScope) -> Sum:
        value = self.start + self.by
        note(f"add {self.start} {self.by} {self.note}".strip())
        path = scope.output_dir / "value.txt"
        path.write_text(str(value))
        return Sum(value=value, nested={"deep": {"er": value}}, values=[value, -value], path=path)


@dataclass(frozen=True, kw_only=True)
class SeedScore:
    """A score and a label."""

    score: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Noise(BaseEvaluator):
    """A score that depends on the seed, as real ones do: 1, 2, 4, … for seeds 0, 1, 2, …"""

    seed: int = 0
    scale: float = 1.0

    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> SeedScore:
        note(f"noise {self.scale:g} {self.seed}")
        return SeedScore(score=self.scale * 2**self.seed, label=f"seed {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of a data set."""

    num_samples: int


@dataclass(frozen=True, kw_only=True)
class Reader(BaseEvaluator):
    """Count the samples of data sets and read a list of files; both are inputs."""

    dataset_path: Path
    more: Sequence[Path] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, eval_type: str | None, eval_obj: Any, *, scope: JobScope) -> Size:
        note(f"reader {self.dataset_path.name}")
        return Size(num_samples=len(self.dataset_path.read_text().splitlines()))


@dataclass(frozen=True, kw_only=True)
class OneFile:
    """A file or folder."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Unstable(BaseDataExecutor):
    """Write a file: the same at every run, or (``stable: false``) another at each."""

    stable: bool = True
    error_once_done: bool = False

    def run(self, *, scope: JobScope) -> OneFile:
        note("unstable")
        path = scope.output_dir / "numbers.txt"
        path.write_text("the same" if self.stable else str(random.SystemRandom().random()))
        if self.error_once_done and (Path(os.environ["TOYS_GATE"]) / "break").exists():
            raise RuntimeError("broke after writing")
        return OneFile(path=path)


@dataclass(frozen=True, kw_only=True)
class OneValue:
    """A value."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Checked(BaseDataExecutor):
    """Run only on a machine whose limits its arguments respect, which ``check`` finds."""

    low: float = 0.0
    high: float = 1.0

    def check(self) -> None:
        """Raise ValueError if ``low`` is not below ``high``."""
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    def run(self, *, scope: JobScope) -> OneValue:
        note("checked")
        return OneValue(value=self.low)


@dataclass(frozen=True, kw_only=True)
class Limited(BaseDataExecutor):
    """Have constraints on single arguments and a rule between two."""

    rows: int
    steps: PositiveInt = 1
    limit: int = 100
    shares: Sequence[Annotated[float, Le(1)]] = ()
    seed: int = 0

    @rule
    def _rows_are_within_the_limit(rows: int, limit: int) -> None:
        if rows > limit:
            raise ValueError(f"limit is {limit}, there are more rows")

    def run(self, *, scope: JobScope) -> OneValue:
        note("limited")
        return OneValue(value=self.rows)


@dataclass(frozen=True, kw_only=True)
class SecretLength:
    """Length of a secret."""

    length: int


@dataclass(frozen=True, kw_only=True)
class Login(BaseDataExecutor):
    """Use a secret, and report only its length."""

    token: Secret | None = None
    user: str = "me"

    def run(self, *, scope: JobScope) -> SecretLength:
        note("login")
        scope.log_path.write_text(f"{self.user} logged in\n")
        return SecretLength(length=len(self.token or ""))


@dataclass(frozen=True, kw_only=True)
class Liar(BaseDataExecutor):
    """Return what ``kind`` asks for, whatever is declared."""

    kind: str = "missing"

    def run(self, *, scope: JobScope) -> OneValue:
        (scope.output_dir / "half.txt").write_text("half")
        answers: dict[str, Any] = {
            "missing": None,
            "unknown": {"value": 1, "other": 2},
            "unwritten": OneValue(value=scope.output_dir / "nothing.txt"),
            "object": OneValue(value=object()),
            "target": OneValue(value={"_target_": "os.system"}),
            "interpolation": OneValue(value="${oc.env:HOME}"),
            "zero": OneValue(value=0.0),
            "empty": OneValue(value={}),
        }
        answer: OneValue = answers[self.kind]
        return answer


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of rows."""

    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Counted(BaseDataExecutor):
    """Return any value as the number of rows."""

    value: Any = 1

    def run(self, *, scope: JobScope) -> Count:
        return Count(num_rows=self.value)
