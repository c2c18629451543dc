"""COCO captions in Karpathy's splits, in both forms of their files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from PIL import Image

from sandbox.datasets.coco_karpathy import COCOKarpathy

SPLITS = {
    "train": ["train2014/COCO_train2014_000000000001.jpg", "val2014/COCO_val2014_000000000002.jpg"],
    "val": ["val2014/COCO_val2014_000000000003.jpg"],
    "test": ["val2014/COCO_val2014_000000000004.jpg"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Create a folder as InternVL wants it; training pictures have two captions each."""
    root = tmp_path / "coco"
    for number, name in enumerate(name for names in SPLITS.values() for name in names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30 + number, 20)).save(root / name)
    (root / "annotations").mkdir()
    rows = [
        {
            "id": n,
            "image": name,
            "conversations": [human(), {"from": "gpt", "value": f"Caption {n} of {name}."}],
        }
        for name in SPLITS["train"]
        for n in range(2)
    ]
    (root / "annotations/coco_karpathy_train_567k.jsonl").write_text(
        "\n".join(map(json.dumps, rows))
    )
    for split in ("val", "test"):
        rows = [{"image": name, "caption": [f"One of {name}.", "Two."]} for name in SPLITS[split]]
        (root / f"annotations/coco_karpathy_{split}.json").write_text(json.dumps(rows))
    return root


def human() -> dict[str, str]:
    return {
        "from": "human",
        "value": "<image>\nProvide a one-sentence caption for the provided image.",
    }


def karpathy_file(root: Path) -> Path:
    """Write ``dataset_coco.json`` with the same content; the second picture is of ``restval``."""
    split_names = {"val": "val", "test": "test"}
    images = []
    for split, names in SPLITS.items():
        for name in names:
            folder, file_name = name.split("/")
            own = split_names.get(split, "train" if folder == "train2014" else "restval")
            sentences = [{"raw": f"Caption {n} of {name}. "} for n in range(2)]
            entry = {
                "filepath": folder,
                "filename": file_name,
                "split": own,
                "sentences": sentences,
            }
            images.append({**entry, "cocoid": int(file_name[-10:-4])})
    path = root / "dataset_coco.json"
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def run(data: COCOKarpathy, folder: Path) -> dict[str, Any]:
    outputs = asdict(data.run(scope=scope(folder)))
    for key in outputs.keys() - {"image_dir"}:
        outputs[key] = json.loads(outputs[key].read_text())
    return outputs


def ids(content: dict[str, Any]) -> list[int]:
    return sorted(image["id"] for image in content["images"])


@pytest.mark.parametrize("form", ["internvl", "karpathy"])
def test_both_forms_give_the_same_splits(root: Path, tmp_path: Path, form: str) -> None:
    dataset_file = karpathy_file(root).name if form == "karpathy" else None
    outputs = run(COCOKarpathy(root=root, dataset_file=dataset_file, num_warmup=1), tmp_path)
    assert ids(outputs["train_path"]) == [1, 2]
    assert ids(outputs["selection_path"]) == [3]
    assert ids(outputs["report_path"]) == [4]
    assert set(ids(outputs["warmup_path"])) < {1, 2}
    assert outputs["image_dir"] == root
    first = outputs["train_path"]["images"][0]
    assert first == {"id": 1, "file_name": SPLITS["train"][0], "width": 30, "height": 20}
    captions = [
        row["caption"] for row in outputs["train_path"]["annotations"] if row["image_id"] == 1
    ]
    assert captions == [
        f"Caption 0 of {SPLITS['train'][0]}.",
        f"Caption 1 of {SPLITS['train'][0]}.",
    ]


def test_a_smaller_training_set_can_be_drawn(root: Path, tmp_path: Path) -> None:
    outputs = run(COCOKarpathy(root=root, num_train=1, num_warmup=1), tmp_path)
    assert len(ids(outputs["train_path"])) == 1
    assert ids(outputs["warmup_path"]) == ids(outputs["train_path"])


def test_more_pictures_than_there_are_is_an_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"num_selection is 5; .* has 1 such pictures"):
        run(COCOKarpathy(root=root, num_warmup=1, num_selection=5), tmp_path)


def test_check_names_missing_annotation_files(root: Path) -> None:
    (root / "annotations/coco_karpathy_val.json").unlink()
    with pytest.raises(ValueError, match=r"has no annotations/coco_karpathy_val\.json"):
        COCOKarpathy(root=root).check()


def test_missing_pictures_are_counted_and_named(root: Path, tmp_path: Path) -> None:
    (root / SPLITS["val"][0]).unlink()
    (root / SPLITS["test"][0]).unlink()
    with pytest.raises(
        ValueError, match=f"2 of 4 pictures are missing .*{SPLITS['val'][0]}, {SPLITS['test'][0]}"
    ):
        run(COCOKarpathy(root=root, num_warmup=1), tmp_path)


def test_a_broken_picture_is_named(root: Path, tmp_path: Path) -> None:
    (root / SPLITS["val"][0]).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=f"{SPLITS['val'][0]} cannot be decoded"):
        run(COCOKarpathy(root=root, num_warmup=1), tmp_path)


def test_a_picture_in_two_splits_is_an_error(root: Path, tmp_path: Path) -> None:
    rows = [{"image": SPLITS["train"][0], "caption": "Leaked."}]
    (root / "annotations/coco_karpathy_test.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"picture 1 .* is in train and again in report"):
        run(COCOKarpathy(root=root, num_warmup=1), tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"image": "train2014/x_1.jpg", "text": "a"}',
            r':1: expected "image" and .* got image, text',
        ),
        ('{"image": "train2014/x_1.jpg", "caption": " "}', r":1: a caption of .*x_1\.jpg is empty"),
        ('{"image": "train2014/x_1.jpg", "caption": []}', "is empty or missing"),
        ('{"image": "train2014/x_1.jpg", "conversations": []}', "is empty or missing"),
        ('["train2014/x_1.jpg"]', ":1: expected a JSON object"),
        ('{"image": "x.jpg", "caption": "A."}', r"'x\.jpg' does not end with a COCO id"),
        ("no json", ":1: not valid JSON"),
        ("", "the data pool is empty"),
    ],
    ids=[
        "other-keys",
        "empty",
        "no-captions",
        "no-turns",
        "no-object",
        "no-id",
        "no-json",
        "empty-file",
    ],
)
def test_bad_rows_are_named(root: Path, tmp_path: Path, line: str, message: str) -> None:
    (root / "annotations/coco_karpathy_train_567k.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        run(COCOKarpathy(root=root), tmp_path)


def test_a_split_without_pictures_is_an_error(root: Path, tmp_path: Path) -> None:
    (root / "annotations/coco_karpathy_val.json").write_text("[]")
    with pytest.raises(ValueError, match=r"the selection split under .* has no pictures"):
        run(COCOKarpathy(root=root, num_warmup=1), tmp_path)


def test_a_file_of_another_form_as_dataset_file_is_an_error(root: Path, tmp_path: Path) -> None:
    (root / "dataset_coco.json").write_text('{"images": [{"filename": "x.jpg"}]}')
    with pytest.raises(ValueError, match="not of the form of Karpathy's"):
        run(COCOKarpathy(root=root, dataset_file="dataset_coco.json"), tmp_path)


def test_counts_must_be_positive(root: Path) -> None:
    (problem,) = problems_of(COCOKarpathy, root=str(root), num_warmup=0)
    assert (problem.where, problem.kind) == ("num_warmup", "constraint")
