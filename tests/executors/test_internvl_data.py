"""Pools and annotations as InternVL reads them, and the arguments that its executors refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox.executors.internvl_captioning import InternVLCaptioning
from sandbox.executors.internvl_data import read_annotations, read_pool, write_conversations
from sandbox.executors.internvl_model import InternVLPretrained, InternVLTiny
from sandbox.executors.internvl_training import InternVLTraining
from sandbox.job import Outputs
from sandbox.system.process import ProcessError

WritePool = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "red.png"
    path.parent.mkdir()
    Image.new("RGB", (8, 8), "red").save(path)
    return path


@pytest.fixture
def write_pool(tmp_path: Path) -> WritePool:
    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "pool.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_a_pool_becomes_conversations_and_a_meta_file(
    picture: Path, write_pool: WritePool, tmp_path: Path
) -> None:
    pool = write_pool(
        [{"text": "<__dj__image> A red  square. <|__dj__eoc|>", "images": [str(picture)]}]
    )

    meta_path = write_conversations(read_pool(pool), "What is it?", tmp_path, "train")

    entry = json.loads(meta_path.read_text())["train"]
    row = json.loads(Path(entry["annotation"]).read_text())
    assert Path(entry["root"]) / row["image"] == picture
    assert (entry["length"], entry["repeat_time"], entry["data_augment"]) == (1, 1, False)
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
    assert [turn["value"] for turn in row["conversations"]] == [
        "<image>\nWhat is it?",
        "A red square.",
    ]


def test_a_relative_picture_is_looked_up_beside_the_pool(
    picture: Path, write_pool: WritePool
) -> None:
    pool = write_pool([{"text": "Red.", "images": ["images/red.png"]}])

    assert read_pool(pool)[0].image_path == picture


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "<__dj__image>", "images": ["red.png"]}, "has no caption"),
        ({"images": ["red.png"]}, "has no caption"),
        ({"text": "Red.", "images": []}, "expected a list of one picture"),
        ({"text": "Red."}, "expected a list of one picture"),
        ({"text": "Red.", "images": ["red.png", "red.png"]}, "expected a list of one picture"),
    ],
    ids=["only_the_image_token", "no_text", "empty_images", "no_images", "two_images"],
)
def test_a_wrong_row_is_named_by_file_and_line(
    row: dict[str, Any], message: str, picture: Path, write_pool: WritePool
) -> None:
    pool = write_pool([{"text": "Red.", "images": [str(picture)]}, row])

    with pytest.raises(ValueError, match=message) as error:
        read_pool(pool)
    assert f"{pool}, line 2" in str(error.value)


def test_an_empty_pool_is_refused(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.touch()

    with pytest.raises(ValueError, match=r"pool\.jsonl holds no samples"):
        read_pool(pool)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("caption: red\n")

    with pytest.raises(ValueError, match=r"pool\.jsonl, line 1 is not JSON"):
        read_pool(pool)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"no picture", "cannot be decoded")],
    ids=["missing", "not_a_picture"],
)
def test_a_bad_picture_is_named_before_training(
    content: bytes | None, message: str, write_pool: WritePool, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    pool = write_pool([{"text": "Red.", "images": [str(bad)]}])
    training = InternVLTraining("some/model", pool)

    with pytest.raises(ValueError, match=message) as error:
        training.data_connector(tmp_path)
    assert f"{pool}, line 1" in str(error.value)
    assert str(bad) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not in COCO format"),
        ('{"images": []}', "not in COCO format"),
        ('{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}', "holds no captions"),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"id": 4, "image_id": 1}]}',
            "annotation 4 has no caption",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}],'
            ' "annotations": [{"id": 4, "image_id": 2, "caption": "A."}]}',
            "annotation 4 names image 2",
        ),
        ("caption", "is not JSON"),
    ],
    ids=["list", "no_images", "no_annotations", "no_caption", "unknown_image", "no_json"],
)
def test_wrong_annotations_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(content)

    with pytest.raises(ValueError, match=message):
        read_annotations(path, tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"it has no config\.json"),
        ({"model_type": "qwen2"}, "model_type is 'qwen2'"),
        ({"model_type": "internvl_chat"}, "names that end in -hf"),
        ([], "model_type is None"),
    ],
    ids=["no_config", "another_model", "original_format", "no_mapping"],
)
def test_a_folder_that_is_no_checkpoint_is_refused(
    config: Any, message: str, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(ValueError, match=message):
        InternVLPretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        InternVLTraining(tmp_path, tmp_path / "pool.jsonl").data_connector(tmp_path)
    with pytest.raises(ValueError, match=message):
        InternVLCaptioning(tmp_path, tmp_path / "captions.json", tmp_path).data_connector(tmp_path)


def test_a_missing_checkpoint_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        InternVLPretrained(str(tmp_path / "missing"))


def test_a_hub_id_becomes_the_folder_that_it_was_fetched_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "models--OpenGVLab--InternVL3-1B-hf"
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text('{"model_type": "internvl"}')
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = InternVLPretrained("OpenGVLab/InternVL3-1B-hf")
    assert fetch(model, tmp_path) == {"checkpoint_path": snapshot}


def test_a_hub_id_that_cannot_be_fetched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ProcessError, match="OpenGVLab/nothing is no local folder, is not in Hugging Face"
    ):
        fetch(InternVLPretrained("OpenGVLab/nothing"), tmp_path)


def fetch(model: InternVLPretrained, output_dir: Path) -> Outputs:
    return model.run(
        output_dir=output_dir, log_path=output_dir / "log", watch=lambda metrics, step=None: None
    )


def test_a_local_checkpoint_is_handed_on_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl"}')

    assert InternVLPretrained(str(tmp_path)).outputs(tmp_path) == {"checkpoint_path": tmp_path}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_steps": 0}, "max_steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate -1.0"),
        ({"warmup_ratio": 1.5}, "warmup_ratio 1.5"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"precision": "fp8"}, "expected one of auto, bf16, fp32"),
        ({"lr_scheduler": "step"}, "expected one of cosine"),
        ({"eval_steps": 5}, "no eval_dataset_path"),
        (
            {"eval_dataset_path": Path("eval.jsonl"), "early_stopping_patience": 2},
            "early_stopping_patience needs eval_steps",
        ),
        (
            {"freeze_language_model": True, "freeze_mlp": True, "freeze_vision_tower": True},
            "nothing to train",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_training_refuses_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InternVLTraining("some/model", Path("pool.jsonl"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 60}, "image_size 60"),
        ({"text_hidden_size": 30}, "text_hidden_size 30"),
        ({"vocab_size": 100}, "vocab_size 100"),
        ({"batch_size": 0}, "batch_size 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_tiny_model_refuses_wrong_sizes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InternVLTiny(Path("captions.json"), Path("images"), **arguments)


def test_captioning_refuses_wrong_numbers() -> None:
    with pytest.raises(ValueError, match="num_beams is 0"):
        InternVLCaptioning("some/model", Path("captions.json"), Path("images"), num_beams=0)
