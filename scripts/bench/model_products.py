"""Speed of InternVL's trainings and captions against their bare matrix products.

    OMP_NUM_THREADS=1 python scripts/bench/model_products.py outputs/store [--json] [--every K]

Repeats a few steps (or batches of captions) of recorded jobs with their own data, and then the
matrix products of the same steps alone: the same calls on the same tensors in the same process.
Both are CPU seconds of one thread, medians. Floating-point operations are counted by
torch's ``FlopCounterMode``; attention is not among them, because its CPU kernel is not counted.
``--every K`` looks at every K-th job of a kind; the others are taken to be like it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sandbox" / "workers"))

from internvl_caption import generate
from internvl_conversations import read_conversations
from internvl_data import PairDataset, PictureReader, SimilarLengths, collate
from internvl_model import chat, load_model, load_processor
from internvl_train import prepare

WARM_UP, MEASURED = 2, 5
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear")
Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Speed:
    """Work of one recorded job.

    Args:
        job: Name of the job.
        steps: Steps of a training, or batches of captions.
        step_s: CPU seconds of one.
        products_s: CPU seconds of its matrix products alone.
        gflop: Floating-point operations of one, in billions.
    """

    job: str
    steps: float
    step_s: float
    products_s: float
    gflop: float


class Products(TorchDispatchMode):
    """Keep the matrix products that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.split(".")[0] in PRODUCTS:
            self.calls.append((func, tuple(map(detached, args))))
        return func(*args, **(kwargs or {}))


def detached(value: Any) -> Any:
    """Return a tensor without its history, anything else as it is."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(job: str, steps: int, step: Callable[[Batch], object], batches: list[Batch]) -> Speed:
    """Time ``step`` on batches, and the matrix products of the same steps."""
    for batch in batches[:WARM_UP]:
        step(batch)
    step_s, products_s, gflop = [], [], []
    for batch in batches[WARM_UP:] or batches:
        step_s.append(cpu_s(lambda batch=batch: step(batch)))
        with FlopCounterMode(display=False) as counter, Products() as products:
            step(batch)
        gflop.append(counter.get_total_flops() / 1e9)

        def replay(calls: list[Any] = products.calls) -> None:
            with torch.no_grad():
                for function, arguments in calls:
                    function(*arguments)

        products_s.append(min(cpu_s(replay) for _ in range(2)))
    median = statistics.median
    return Speed(job, steps, median(step_s), median(products_s), median(gflop))


def training(job: str, request: Mapping[str, Any], checkpoint: str) -> Speed:
    """Measure a training: forward, backward, clipping and AdamW, on batches in its own order."""
    processor = load_processor(checkpoint)
    model = load_model(checkpoint)
    if "lora_rank" in request:
        model = prepare(model, request)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5, fused=True)
    pairs = PairDataset(
        read_conversations(Path(request["train_meta"])), processor, request["max_tiles"]
    )
    size = request["batch_size"]
    order: Iterable[int] = torch.randperm(len(pairs)).tolist()
    if request.get("group_by_length"):
        order = SimilarLengths(pairs.lengths(), size, request["seed"])
    order = list(order)
    batches = [
        collate([pairs[index] for index in order[at : at + size]], processor.tokenizer.pad_token_id)
        for at in range(0, len(order), size)
    ]

    def step(batch: Batch) -> None:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return compare(job, request["max_steps"], step, batches[: WARM_UP + MEASURED])


def captions(job: str, request: Mapping[str, Any]) -> Speed:
    """Measure greedy captions of whole batches."""
    processor, model = load_processor(request["model_path"]), load_model(request["model_path"])
    model.eval()
    reader = PictureReader(processor, request["max_tiles"])
    pictures, size = request["pictures"], request["batch_size"]

    def row(picture: Mapping[str, Any]) -> dict[str, Any]:
        pixels = reader.read(picture["path"], picture["origin"])
        text = chat(processor, request["prompt"], len(pixels))
        return {"input_ids": processor.tokenizer(text)["input_ids"], "pixel_values": pixels}

    batches = [
        collate(
            list(map(row, pictures[at : at + size])), processor.tokenizer.pad_token_id, left=True
        )
        for at in range(0, min(len(pictures), 4 * size), size)
    ]
    number = -(-len(pictures) // size)
    return compare(job, number, lambda batch: generate(model, processor, batch, request), batches)


def recorded(store: Path, every: int) -> Iterator[tuple[str, str, list[Path], float]]:
    """Yield kind and name of every job, requests to measure, and how many jobs each stands for."""
    for kind in ("build", "train", "caption"):
        paths = sorted(store.glob(f"*/*/out/internvl_{kind}_request.json"))
        for job, group in itertools.groupby(paths, lambda path: path.parents[2].name):
            found = list(group)
            taken = found if kind == "build" else found[::every]  # of several sizes
            yield kind, job, taken, len(found) / len(taken)


def speeds(store: Path, every: int) -> Iterator[Speed]:
    """Measure the recorded jobs of a store."""
    for kind, job, paths, stands_for in recorded(store, every):
        for path in paths:
            request = json.loads(path.read_bytes())
            if kind == "caption":
                speed = captions(job, request)
            else:
                built = str(path.parent / "checkpoint")
                speed = training(job, request, request.get("model_path", built))
            yield replace(speed, steps=speed.steps * stands_for)


def main() -> None:
    """Print a line a job, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured = list(speeds(given.store, given.every))
    if given.json:
        print(json.dumps([asdict(speed) for speed in measured]))
        return
    print(f"{'job':<16} {'steps':>6} {'ms a step':>10} {'products':>9} {'share':>6} {'GFLOP/s':>8}")
    for speed in measured:
        print(
            f"{speed.job:<16} {speed.steps:>6.0f} {1e3 * speed.step_s:>10.1f} "
            f"{1e3 * speed.products_s:>9.1f} {speed.products_s / speed.step_s:>6.0%} "
            f"{speed.gflop / speed.step_s:>8.0f}"
        )
    steps_s = sum(speed.steps * speed.step_s for speed in measured)
    products_s = sum(speed.steps * speed.products_s for speed in measured)
    gflop = sum(speed.steps * speed.gflop for speed in measured)
    print(
        f"together {gflop / 1e3:.1f} TFLOP: {steps_s:.0f} CPU-s, matrix products alone "
        f"{products_s:.0f} ({products_s / steps_s:.0%})"
    )


if __name__ == "__main__":
    main()
