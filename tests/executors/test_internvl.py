"""InternVL's workers on a model that is made in seconds: train, resume, caption, fail."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from toy_project import until

from sandbox.executors import BaseModelExecutor
from sandbox.executors.internvl_captioning import InternVLCaptioning
from sandbox.executors.internvl_model import InternVLTiny
from sandbox.executors.internvl_training import InternVLTraining
from sandbox.job import JobScope
from sandbox.system.process import ProcessError
from sandbox.system.warm import FRESH

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

COLORS = ("red", "blue", "green", "yellow")
SHAPES = ("square", "circle")
Metrics = list[tuple[int | None, dict[str, Any]]]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures with two captions each: ``captions.json`` and ``pool.jsonl``."""
    folder = tmp_path_factory.mktemp("data")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number, (color, shape) in enumerate((color, shape) for color in COLORS for shape in SHAPES):
        path = folder / f"{number}.png"
        draw(color, shape, path)
        images.append({"id": number, "file_name": path.name, "width": 40, "height": 32})
        for caption in (f"A {color} {shape}.", f"There is a {color} {shape}."):
            annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
            rows.append({"text": f"<__dj__image> {caption}", "images": [str(path)]})
    (folder / "captions.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def draw(color: str, shape: str, path: Path) -> None:
    picture = Image.new("RGB", (40, 32), "white")
    pen = ImageDraw.Draw(picture)
    (pen.ellipse if shape == "circle" else pen.rectangle)((8, 4, 32, 28), fill=color)
    picture.save(path)


@pytest.fixture(scope="session")
def base(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 50 thousand parameters after a few steps."""
    tiny = InternVLTiny(
        annotation_path=data_dir / "captions.json",
        image_dir=data_dir,
        image_size=32,
        vision_hidden_size=32,
        vision_num_layers=1,
        text_hidden_size=32,
        text_num_layers=2,
        num_attention_heads=2,
        vocab_size=320,
        max_steps=30,
        batch_size=16,
        learning_rate=1e-2,
    )
    checkpoint, metrics = run(tiny, tmp_path_factory.mktemp("base"))
    losses = [event["loss"] for _, event in metrics if "loss" in event]
    assert losses[-1] < losses[0]
    return checkpoint


@pytest.fixture
def training(base: Path, data_dir: Path) -> Callable[..., InternVLTraining]:
    def build(**arguments: Any) -> InternVLTraining:
        defaults: dict[str, Any] = {
            "model_path": base,
            "dataset_path": data_dir / "pool.jsonl",
            "max_steps": 12,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "logging_steps": 1,
        }
        return InternVLTraining(**(defaults | arguments))

    return build


def run(executor: BaseModelExecutor, output_dir: Path) -> tuple[Path, Metrics]:
    """Run to the end; returns the only output and the metrics with their steps."""
    watched: Metrics = []

    def watch(metrics: Mapping[str, Any], step: int | None = None) -> None:
        watched.append((step, dict(metrics)))

    output_dir.mkdir(exist_ok=True)
    log_path = output_dir / f"log_{len(list(output_dir.glob('log_*')))}.txt"
    results = executor.run(scope=JobScope("job", output_dir, log_path, watch))
    return next(iter(vars(results).values())), watched


MODEL = "model.safetensors"


def weights(checkpoint: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(checkpoint / MODEL))


def changed(before: Path, after: Path) -> set[str]:
    """Names of the weights that differ."""
    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    return {name for name in old if not (old[name] == new[name]).all()}


def kill_after(marker: Path) -> threading.Thread:
    """Kill this process's children once ``marker`` is there."""

    def wait_and_kill() -> None:
        until(marker.exists, f"no {marker}", 120, poll_s=0.002)
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
        for pid in children.split():
            if "internvl_train" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(int(pid), signal.SIGKILL)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"lora_rank": 4, "freeze_vision_tower": True, "gradient_checkpointing": True},
    ],
    ids=["full", "lora"],
)
def test_a_killed_training_resumes_to_the_same_weights(
    arguments: dict[str, Any],
    training: Callable[..., InternVLTraining],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first training is a fork; the others are processes, whose command line names them."""
    arguments = {"max_steps": 24, "save_steps": 4, "gradient_accumulation_steps": 2, **arguments}
    whole, all_metrics = run(training(**arguments), tmp_path / "whole")
    monkeypatch.setenv(FRESH, "1")
    output_dir = tmp_path / "killed"
    killer = kill_after(output_dir / "resume" / "checkpoint-8" / "complete")
    with pytest.raises(ProcessError, match="ended by signal SIGKILL"):
        run(training(**arguments), output_dir)
    killer.join()
    half_written = output_dir / "resume" / "checkpoint-999"
    half_written.mkdir()

    resumed, metrics = run(training(**arguments), output_dir)

    first_step = metrics[0][0]
    assert first_step is not None
    assert first_step > 8
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    losses = {step: event["loss"] for step, event in all_metrics if "loss" in event}
    assert all(event["loss"] == losses[step] for step, event in metrics if "loss" in event)


def test_training_reports_losses_and_speed(
    training: Callable[..., InternVLTraining], data_dir: Path, tmp_path: Path
) -> None:
    executor = training(
        eval_dataset_path=data_dir / "pool.jsonl", freeze_language_model=True, batch_size=8
    )

    checkpoint, metrics = run(executor, tmp_path)

    by_name = {name: value for _, event in metrics for name, value in event.items()}
    assert set(by_name) == {"loss", "learning_rate", "grad_norm", "images_per_second", "eval_loss"}
    assert [step for step, event in metrics if "loss" in event] == list(range(1, 13))
    assert (checkpoint / "processor_config.json").is_file()


def test_freezing_leaves_a_part_as_it_was(
    training: Callable[..., InternVLTraining], base: Path, tmp_path: Path
) -> None:
    checkpoint, _ = run(
        training(freeze_language_model=True, freeze_mlp=True, max_steps=2), tmp_path
    )

    names = changed(base, checkpoint)
    assert names
    assert all("vision" in name for name in names)


def test_adapters_change_the_language_model_only(
    training: Callable[..., InternVLTraining], base: Path, tmp_path: Path
) -> None:
    executor = training(lora_rank=4, freeze_mlp=True, freeze_vision_tower=True, max_steps=3)

    checkpoint, _ = run(executor, tmp_path)

    names = changed(base, checkpoint)
    assert len(names) == 2 * 7
    assert all("language_model" in name and "proj" in name for name in names)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def test_two_processes_train_together_and_report_once(
    training: Callable[..., InternVLTraining], tmp_path: Path
) -> None:
    checkpoint, metrics = run(training(num_processes=2, max_steps=4), tmp_path)

    assert [step for step, event in metrics if "loss" in event] == [1, 2, 3, 4]
    assert (checkpoint / "model.safetensors").is_file()


def test_training_stops_early_and_keeps_the_best_weights(
    training: Callable[..., InternVLTraining], data_dir: Path, tmp_path: Path
) -> None:
    executor = training(
        eval_dataset_path=data_dir / "pool.jsonl",
        eval_steps=2,
        early_stopping_patience=2,
        learning_rate=3.0,
        lr_scheduler="constant",
        max_steps=60,
        keep_checkpoints=True,
    )

    checkpoint, metrics = run(executor, tmp_path)

    losses = {step: event["eval_loss"] for step, event in metrics if "eval_loss" in event}
    best_step = min(losses, key=losses.__getitem__)
    assert max(step for step in losses if step is not None) < 60
    assert changed(tmp_path / "checkpoints" / f"checkpoint-{best_step}", checkpoint) == set()


@pytest.fixture
def broken_pool(data_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A pool whose second picture has a whole header and half its content."""
    broken = tmp_path / "broken.jpg"
    Image.effect_noise((64, 64), 50).save(broken)
    broken.write_bytes(broken.read_bytes()[:900])
    rows = [
        {"text": "A.", "images": [str(data_dir / "0.png")]},
        {"text": "B.", "images": [str(broken)]},
    ]
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pool, broken


@pytest.mark.parametrize(
    "arguments", [{}, {"num_data_workers": 1}], ids=["one_process", "data_workers"]
)
def test_a_picture_that_breaks_while_decoding_is_named(
    arguments: dict[str, Any],
    training: Callable[..., InternVLTraining],
    broken_pool: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    pool, broken = broken_pool

    with pytest.raises(ProcessError, match="cannot be decoded") as error:
        run(training(dataset_path=pool, **arguments), tmp_path / "out")
    assert f"{pool}:2: picture {broken}" in str(error.value)
    assert "Traceback" not in str(error.value)


def test_the_cause_is_named_when_several_processes_fail(
    training: Callable[..., InternVLTraining], broken_pool: tuple[Path, Path], tmp_path: Path
) -> None:
    pool, broken = broken_pool

    with pytest.raises(ProcessError) as error:
        run(training(dataset_path=pool, num_processes=2), tmp_path / "out")
    assert f"{pool}:2: picture {broken} cannot be decoded" in str(error.value)


def test_captions_are_the_same_every_time(base: Path, data_dir: Path, tmp_path: Path) -> None:
    executor = InternVLCaptioning(
        model_path=base,
        annotation_path=data_dir / "captions.json",
        image_dir=data_dir,
        batch_size=3,
        max_new_tokens=8,
    )

    first, _ = run(executor, tmp_path / "first")
    second, _ = run(executor, tmp_path / "second")

    captions = json.loads(first.read_text())
    assert captions == json.loads(second.read_text())
    assert [row["image_id"] for row in captions] == list(range(8))
    assert all(isinstance(row["caption"], str) for row in captions)


def test_pictures_are_cut_into_tiles_by_their_shape(
    base: Path, data_dir: Path, tmp_path: Path
) -> None:
    """Tiles differ from picture to picture: batches are padded on the left."""
    draw("red", "square", tmp_path / "small.png")
    Image.open(tmp_path / "small.png").resize((160, 32)).save(tmp_path / "wide.png")
    images = [{"id": 0, "file_name": "small.png"}, {"id": 1, "file_name": "wide.png"}]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images}))
    together, alone = (
        InternVLCaptioning(
            model_path=base,
            annotation_path=tmp_path / "captions.json",
            image_dir=tmp_path,
            batch_size=size,
            max_tiles=6,
            num_beams=2,
        )
        for size in (2, 1)
    )

    first, _ = run(together, tmp_path / "together")
    second, _ = run(alone, tmp_path / "alone")

    assert json.loads(first.read_text()) == json.loads(second.read_text())


@pytest.mark.gpu
@pytest.mark.parametrize("lora_rank", [0, 4])
def test_training_and_captions_on_a_gpu_compute_in_bf16(
    training: Callable[..., InternVLTraining], data_dir: Path, tmp_path: Path, lora_rank: int
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    checkpoint, metrics = run(
        training(lora_rank=lora_rank, precision="bf16"), tmp_path / "training"
    )
    losses = [event["loss"] for _, event in metrics if "loss" in event]
    assert losses[-1] < losses[0]
    captions = InternVLCaptioning(
        model_path=checkpoint,
        annotation_path=data_dir / "captions.json",
        image_dir=data_dir,
        precision="bf16",
    )
    captions_path, _ = run(captions, tmp_path / "captions")
    assert len(json.loads(captions_path.read_text())) == 8
