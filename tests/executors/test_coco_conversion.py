"""COCO caption annotations into Data-Juicer's and InternVL's formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from PIL import Image

from sandbox.executors.coco_conversion import COCOCaptionMetaGeneration, COCOCaptionToDJConversion

Change = Callable[[dict[str, Any]], Any]


def coco() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a/7.png"}, {"id": 8, "file_name": "8.png"}],
        "annotations": [
            {"id": 1, "image_id": 7, "caption": "A réd circle. "},
            {"id": 2, "image_id": 8, "caption": "Two stars."},
            {"id": 3, "image_id": 7, "caption": "One circle."},
        ],
    }


@pytest.fixture
def image_dir(tmp_path: Path) -> Path:
    image_dir = tmp_path / "images"
    (image_dir / "a").mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(image_dir / "a/7.png")
    Image.new("RGB", (10, 20)).save(image_dir / "8.png")
    return image_dir


def convert(content: Any, image_dir: Path) -> Path:
    annotation_path = image_dir.parent / "captions.json"
    annotation_path.write_text(content if isinstance(content, str) else json.dumps(content))
    executor = COCOCaptionToDJConversion(annotation_path=annotation_path, image_dir=image_dir)
    return executor.run(scope=scope(image_dir.parent)).dataset_path


def generate(dataset_path: Path, image_dir: Path, **arguments: Any) -> dict[str, Any]:
    executor = COCOCaptionMetaGeneration(
        dataset_path=dataset_path, image_dir=image_dir, **arguments
    )
    meta_path = executor.run(scope=scope(image_dir.parent)).meta_path
    meta: dict[str, Any] = json.loads(meta_path.read_text())
    return meta


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_conversion_makes_one_sample_per_picture_and_caption(image_dir: Path) -> None:
    samples = lines(convert(coco(), image_dir))
    assert [sample["id"] for sample in samples] == ["1", "2", "3"]
    assert samples[0] == {
        "id": "1",
        "text": "<__dj__image> A réd circle.",
        "images": [str(image_dir / "a/7.png")],
        "caption": "A réd circle.",
        "image_id": 7,
    }


def test_conversion_writes_absolute_paths(image_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image_dir.parent)
    (image_dir.parent / "captions.json").write_text(json.dumps(coco()))
    executor = COCOCaptionToDJConversion(
        annotation_path=Path("captions.json"), image_dir=Path("images")
    )
    path = executor.run(scope=scope(image_dir.parent)).dataset_path
    assert lines(path)[1]["images"] == [str(image_dir / "8.png")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][0].update(caption=" "),
            r"annotation 1 \(picture 7\) has an empty caption",
        ),
        (
            lambda c: c["annotations"][0].update(caption=None),
            "annotation 1 .* has an empty caption",
        ),
        (lambda c: c["annotations"][0].pop("caption"), "annotation 1 has no caption"),
        (
            lambda c: c["annotations"][1].update(image_id=99),
            "annotation 2 is for picture 99, which",
        ),
        (lambda c: c["annotations"][1].update(id=1), "annotation 1 comes twice"),
        (lambda c: c["annotations"].pop(1), "1 pictures have no caption, the first: 8"),
        (lambda c: c["annotations"].clear(), "has no annotations"),
        (lambda c: c["images"][1].update(id=7), "1 pictures have an id that came before"),
        (
            lambda c: c["images"][1].update(file_name="no.png"),
            r"1 of 2 pictures are missing, the first: .*no\.png",
        ),
        (lambda c: c.pop("images"), "is no COCO caption file"),
    ],
    ids=[
        "empty",
        "null",
        "no-caption",
        "unknown-picture",
        "same-id",
        "bare-picture",
        "no-annotations",
        "same-picture-id",
        "missing-file",
        "no-images",
    ],
)
def test_conversion_names_the_mistake(image_dir: Path, change: Change, message: str) -> None:
    content = coco()
    change(content)
    with pytest.raises(ValueError, match=message):
        convert(content, image_dir)


@pytest.mark.parametrize("content", ["", "no json", "[1, 2]"], ids=["empty", "text", "list"])
def test_conversion_refuses_another_file(image_dir: Path, content: str) -> None:
    with pytest.raises(ValueError, match="is no COCO caption file"):
        convert(content, image_dir)


def test_meta_generation_writes_internvls_format(image_dir: Path) -> None:
    meta = generate(convert(coco(), image_dir), image_dir, name="shapes", max_dynamic_patch=4)
    entry = meta["shapes"]
    annotation = Path(entry.pop("annotation"))
    assert entry == {
        "root": f"{image_dir}/",
        "data_augment": False,
        "max_dynamic_patch": 4,
        "repeat_time": 1,
        "length": 3,
    }
    assert lines(annotation)[2] == {
        "id": 2,
        "image": "a/7.png",
        "width": 30,
        "height": 20,
        "conversations": [
            {
                "from": "human",
                "value": "<image>\nProvide a one-sentence caption for the provided image.",
            },
            {"from": "gpt", "value": "One circle."},
        ],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(caption=""), ":1: sample '1' has 1 pictures and no caption"),
        (lambda s: s.update(images=[]), ":1: sample '1' has 0 pictures and a caption"),
        (lambda s: s.update(images=["/elsewhere/8.png"]), ":1: .*elsewhere"),
    ],
    ids=["no-caption", "no-picture", "picture-elsewhere"],
)
def test_meta_generation_names_the_mistake(image_dir: Path, change: Change, message: str) -> None:
    dataset_path = convert(coco(), image_dir)
    sample = lines(dataset_path)[0]
    change(sample)
    dataset_path.write_text(json.dumps(sample))
    with pytest.raises(ValueError, match=message):
        generate(dataset_path, image_dir)


def test_meta_generation_refuses_undecodable_pictures_and_empty_data(image_dir: Path) -> None:
    dataset_path = convert(coco(), image_dir)
    (image_dir / "8.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r":2: .*8\.png"):
        generate(dataset_path, image_dir)
    dataset_path.write_text("")
    with pytest.raises(ValueError, match="the data pool is empty"):
        generate(dataset_path, image_dir)
    (problem,) = problems_of(
        COCOCaptionMetaGeneration, dataset_path=dataset_path, image_dir=image_dir, repeat_time=0
    )
    assert (problem.where, problem.kind) == ("repeat_time", "constraint")
