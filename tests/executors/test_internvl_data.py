"""Pools and annotations as InternVL reads them, and the arguments that its executors refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from PIL import Image
from pool_files import repacked

from sandbox.executors import Checkpoint
from sandbox.executors.internvl_captioning import InternVLCaptioning
from sandbox.executors.internvl_data import read_annotations, read_pool, write_training_set
from sandbox.executors.internvl_model import InternVLPretrained, InternVLTiny
from sandbox.executors.internvl_training import InternVLTraining
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

    meta_path = write_training_set(read_pool(pool, "What is it?"), tmp_path, "train")

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
    assert f"{pool}:2: " in str(error.value)


def test_an_empty_pool_is_refused(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.touch()

    with pytest.raises(ValueError, match=r"pool\.jsonl: the data pool is empty"):
        read_pool(pool)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("caption: red\n")

    with pytest.raises(ValueError, match=r"pool\.jsonl:1: not valid JSON"):
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
    training = InternVLTraining(model_path="some/model", dataset_path=pool)

    with pytest.raises(ValueError, match=message) as error:
        training.data_connector(scope=scope(tmp_path))
    assert f"{pool}:1: " in str(error.value)
    assert str(bad) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is no COCO caption file"),
        ('{"images": []}', "is no COCO caption file"),
        ('{"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}', "has no annotations"),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}],'
            ' "annotations": [{"id": 4, "image_id": 1}]}',
            "annotation 4 has no caption",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}],'
            ' "annotations": [{"id": 4, "image_id": 2, "caption": "A."}]}',
            "annotation 4 is for picture 2, which the file does not list",
        ),
        ("caption", "is no COCO caption file"),
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

    (problem,) = problems_of(InternVLPretrained, name_or_path=tmp_path)
    assert (problem.where, problem.kind) == ("name_or_path", "rule")
    assert re.search(message, problem.text)
    training = InternVLTraining(model_path=tmp_path, dataset_path=tmp_path / "pool.jsonl")
    captioning = InternVLCaptioning(
        model_path=tmp_path, annotation_path=tmp_path / "captions.json", image_dir=tmp_path
    )
    for executor in (training, captioning):
        with pytest.raises(ValueError, match=message):
            executor.data_connector(scope=scope(tmp_path))


def test_a_missing_checkpoint_folder_is_refused(tmp_path: Path) -> None:
    problems = problems_of(InternVLPretrained, name_or_path=str(tmp_path / "missing"))
    assert any("does not exist" in problem.text for problem in problems)


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
    model = InternVLPretrained(name_or_path="OpenGVLab/InternVL3-1B-hf")
    assert fetch(model, tmp_path) == Checkpoint(checkpoint_path=snapshot)


def test_a_hub_id_that_cannot_be_fetched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ProcessError, match="OpenGVLab/nothing is no local folder, is not in Hugging Face"
    ):
        fetch(InternVLPretrained(name_or_path="OpenGVLab/nothing"), tmp_path)


def fetch(model: InternVLPretrained, folder: Path) -> Checkpoint:
    made = model.run(scope=scope(folder))
    assert isinstance(made, Checkpoint)
    return made


def test_a_local_checkpoint_is_passed_on_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl"}')

    model = InternVLPretrained(name_or_path=str(tmp_path))
    assert model.outputs(scope=scope(tmp_path)) == Checkpoint(checkpoint_path=tmp_path)


FROZEN = {"freeze_language_model": True, "freeze_mlp": True, "freeze_vision_tower": True}


@pytest.mark.parametrize(
    ("arguments", "where", "kind", "text"),
    [
        ({"max_steps": 0}, "max_steps", "constraint", ""),
        ({"learning_rate": -1.0}, "learning_rate", "constraint", ""),
        ({"warmup_ratio": 1.5}, "warmup_ratio", "constraint", ""),
        ({"lora_rank": -1}, "lora_rank", "constraint", ""),
        ({"precision": "fp8"}, "precision", "wrong_type", "bf16"),
        ({"lr_scheduler": "step"}, "lr_scheduler", "wrong_type", "cosine"),
        ({"eval_steps": 5}, "", "rule", "there is no eval_dataset_path"),
        (
            {"eval_dataset_path": Path(__file__), "early_stopping_patience": 2},
            "",
            "rule",
            "early_stopping_patience needs eval_steps",
        ),
        (FROZEN, "", "rule", "nothing to train"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_training_refuses_wrong_arguments(
    arguments: dict[str, Any], where: str, kind: str, text: str
) -> None:
    (problem,) = problems_of(
        InternVLTraining, model_path="some/model", dataset_path=Path(__file__), **arguments
    )
    assert (problem.where, problem.kind) == (where, kind)
    assert text in problem.text


@pytest.mark.parametrize(
    ("arguments", "where", "kind", "text"),
    [
        ({"image_size": 60}, "", "rule", "image_size is 60"),
        ({"text_hidden_size": 30}, "", "rule", "text_hidden_size is 30"),
        ({"vocab_size": 100}, "vocab_size", "constraint", ""),
        ({"batch_size": 0}, "batch_size", "constraint", ""),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_tiny_model_refuses_wrong_sizes(
    arguments: dict[str, Any], where: str, kind: str, text: str, tmp_path: Path
) -> None:
    (problem,) = problems_of(
        InternVLTiny, annotation_path=Path(__file__), image_dir=tmp_path, **arguments
    )
    assert (problem.where, problem.kind) == (where, kind)
    assert text in problem.text


def test_captioning_refuses_wrong_numbers(tmp_path: Path) -> None:
    (problem,) = problems_of(
        InternVLCaptioning,
        model_path="some/model",
        annotation_path=Path(__file__),
        image_dir=tmp_path,
        num_beams=0,
    )
    assert (problem.where, problem.kind) == ("num_beams", "constraint")


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet", "shards"])
def test_pools_of_every_format_are_read(picture: Path, write_pool: WritePool, ending: str) -> None:
    pool = write_pool(
        [{"text": "Red.", "images": [str(picture)]}, {"text": "Two.", "images": [str(picture)]}]
    )

    pairs = read_pool(repacked(pool, ending))

    assert [pair.caption for pair in pairs] == ["Red.", "Two."]
    assert pairs[1].origin.endswith(":2")
