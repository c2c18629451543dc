"""A folder of pictures as a caption data set."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from PIL import Image

from sandbox.datasets.image_folder import ImageFolder

NAMES = [
    f"{'sub/' if number % 2 else ''}{number:02d}.{'png' if number % 3 else 'jpg'}"
    for number in range(20)
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Create twenty different pictures without captions."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Image.new("RGB", (20 + number, 16), (10 * number, 0, 0)).save(root / name)
    return root


def write_jsonl(root: Path, rows: list[dict[str, Any]]) -> None:
    (root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_for(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"image": name, "caption": f"{which} caption of {name}."}
        for name in names
        for which in ("One", "Two")
    ]


def run(data: ImageFolder, folder: Path) -> dict[str, Any]:
    outputs = asdict(data.run(scope=scope(folder)))
    for key in ("warmup_path", "train_path", "selection_path", "report_path"):
        outputs[key] = json.loads(outputs[key].read_text())
    return outputs


def names_in(content: dict[str, Any]) -> set[str]:
    return {image["file_name"] for image in content["images"]}


def write_captions(root: Path, form: str) -> None:
    rows = rows_for(NAMES)
    if form == "jsonl":
        write_jsonl(root, rows)
    elif form == "jsonl.gz":
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "captions.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    elif form == "csv":
        with (root / "captions.csv").open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, ("image", "caption"))
            writer.writeheader()
            writer.writerows(rows)
    else:
        for first, second in zip(rows[::2], rows[1::2], strict=True):
            path = (root / first["image"]).with_suffix(".txt")
            path.write_text(f"{first['caption']}\n{second['caption']}\n")


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "csv", "txt"])
def test_pictures_are_split_with_all_their_captions(root: Path, tmp_path: Path, form: str) -> None:
    write_captions(root, form)
    outputs = run(
        ImageFolder(root=root, selection_fraction=0.2, report_fraction=0.3, warmup_fraction=0.5),
        tmp_path,
    )
    train, selection, report = (
        names_in(outputs[f"{split}_path"]) for split in ("train", "selection", "report")
    )
    assert (len(train), len(selection), len(report)) == (10, 4, 6)
    assert train | selection | report == set(NAMES)
    assert len(names_in(outputs["warmup_path"])) == 5
    assert names_in(outputs["warmup_path"]) < train
    assert outputs["image_dir"] == root
    content = outputs["report_path"]
    for image in content["images"]:
        captions = [
            row["caption"] for row in content["annotations"] if row["image_id"] == image["id"]
        ]
        assert captions == [
            f"One caption of {image['file_name']}.",
            f"Two caption of {image['file_name']}.",
        ]
        assert (image["width"], image["height"]) == (20 + NAMES.index(image["file_name"]), 16)


def test_the_seed_decides_the_split(root: Path, tmp_path: Path) -> None:
    write_captions(root, "txt")
    first, same, other = (
        run(ImageFolder(root=root, seed=seed), tmp_path)["report_path"] for seed in (0, 0, 1)
    )
    assert first == same
    assert names_in(first) != names_in(other)


def test_absolute_paths_and_other_columns_are_taken(root: Path, tmp_path: Path) -> None:
    write_jsonl(
        root, [{"file": str((root / name).absolute()), "text": f"A {name}."} for name in NAMES]
    )
    outputs = run(ImageFolder(root=root, image_column="file", caption_column="text"), tmp_path)
    assert names_in(outputs["train_path"]) < set(NAMES)


def test_no_pictures_is_an_error_that_lists_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\n")
    with pytest.raises(ValueError, match=r"has no pictures .*; it has files with \.csv"):
        ImageFolder(root=tmp_path).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": NAMES[0], "caption": " "}, rf":41: the caption of '{NAMES[0]}' is empty"),
        ({"image": NAMES[0], "caption": None}, ":41: expected a text under 'caption', got None"),
        ({"image": NAMES[0], "caption": f"One caption of {NAMES[0]}."}, ":41: .* is repeated"),
        ({"image": "none.jpg", "caption": "A."}, r":41: 'none\.jpg' is not a picture in"),
        ({"image": "/etc/x.jpg", "caption": "A."}, r":41: '/etc/x\.jpg' is not a picture in"),
        ({"picture": "none.jpg", "text": "A."}, ":41: no text under 'image'; keys: picture, text"),
    ],
    ids=["empty", "null", "duplicate", "unknown", "outside", "columns"],
)
def test_bad_rows_are_named(
    root: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write_jsonl(root, [*rows_for(NAMES), change])
    with pytest.raises(ValueError, match=message):
        run(ImageFolder(root=root), tmp_path)


def test_wrong_csv_columns_are_named(root: Path, tmp_path: Path) -> None:
    (root / "captions.csv").write_text("path,title\n00.jpg,A.\n")
    with pytest.raises(ValueError, match=r":2: no text under 'image'; keys: path, title"):
        run(ImageFolder(root=root), tmp_path)


def test_a_line_that_is_not_json_is_named(root: Path, tmp_path: Path) -> None:
    (root / "captions.jsonl").write_text("image,caption\n")
    with pytest.raises(ValueError, match=":1: not valid JSON"):
        run(ImageFolder(root=root), tmp_path)


def test_pictures_without_captions_are_named(root: Path, tmp_path: Path) -> None:
    write_jsonl(root, rows_for(NAMES[2:]))
    with pytest.raises(
        ValueError, match=f"2 pictures .* have no caption in captions.jsonl: {NAMES[0]}, {NAMES[1]}"
    ):
        run(ImageFolder(root=root), tmp_path)
    (root / "captions.jsonl").unlink()
    with pytest.raises(ValueError, match=r"20 pictures .* have no \.txt file"):
        run(ImageFolder(root=root), tmp_path)


def test_empty_and_repeated_text_captions_are_named(root: Path, tmp_path: Path) -> None:
    write_captions(root, "txt")
    (root / "00.txt").write_text(" \n")
    with pytest.raises(ValueError, match=r"1 caption files .* are empty: .*00\.txt"):
        run(ImageFolder(root=root), tmp_path)
    (root / "00.txt").write_text("Same.\nSame.\n")
    with pytest.raises(ValueError, match=r"00\.txt occur twice: Same\."):
        run(ImageFolder(root=root), tmp_path)


@pytest.mark.parametrize("name", ["00.jpg", "02.png"])
def test_a_truncated_picture_is_named(root: Path, tmp_path: Path, name: str) -> None:
    write_captions(root, "txt")
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(ValueError, match=f"{name} cannot be decoded"):
        run(ImageFolder(root=root), tmp_path)


@pytest.fixture
def with_copies(root: Path) -> Path:
    """Add copies of three of the pictures."""
    copies = [f"sub/copy_{number}.jpg" for number in range(3)]
    for number, copy in enumerate(copies):
        (root / copy).write_bytes((root / NAMES[number]).read_bytes())
    write_jsonl(root, rows_for([*NAMES, *copies]))
    return root


def test_the_same_picture_twice_is_left_out_and_named(with_copies: Path, tmp_path: Path) -> None:
    outputs = run(ImageFolder(root=with_copies), tmp_path)
    splits = [names_in(outputs[f"{split}_path"]) for split in ("train", "selection", "report")]
    assert set().union(*splits) == set(NAMES)
    dropped = [json.loads(line) for line in outputs["dropped_path"].read_text().splitlines()]
    assert dropped[0] == {"file_name": "sub/copy_0.jpg", "reason": f"same bytes as {NAMES[0]}"}
    assert len(dropped) == outputs["num_duplicates"] == 3
    assert outputs["num_images"] == 23
    assert outputs["summary"] == (
        "pictures: 23 pictures, 16 to train on (2 of them to warm up), 2 for choices and 2 for the "
        "report; 3 duplicates left out"
    )


@pytest.mark.parametrize("seed", range(5))
def test_copies_that_are_kept_are_in_one_split(
    with_copies: Path, tmp_path: Path, seed: int
) -> None:
    data = ImageFolder(
        root=with_copies, duplicates="keep", seed=seed, selection_fraction=0.3, report_fraction=0.3
    )
    outputs = run(data, tmp_path)
    splits = [names_in(outputs[f"{split}_path"]) for split in ("train", "selection", "report")]
    assert sum(map(len, splits)) == 23
    for number in range(3):
        pair = {NAMES[number], f"sub/copy_{number}.jpg"}
        assert any(pair <= names for names in splits)
    assert outputs["dropped_path"].read_text() == ""


def test_the_same_picture_twice_can_be_an_error(with_copies: Path, tmp_path: Path) -> None:
    message = rf"3 pictures .* occur twice: sub/copy_0\.jpg = {NAMES[0]}"
    with pytest.raises(ValueError, match=message):
        run(ImageFolder(root=with_copies, duplicates="error"), tmp_path)


def test_several_tables_need_a_choice(root: Path, tmp_path: Path) -> None:
    write_captions(root, "jsonl")
    write_captions(root, "csv")
    with pytest.raises(
        ValueError, match=r"several caption files, captions\.csv, captions\.jsonl; choose one"
    ):
        run(ImageFolder(root=root), tmp_path)
    run(ImageFolder(root=root, captions_file="captions.csv"), tmp_path)
    with pytest.raises(ValueError, match=r"captions_file .*other\.csv is missing"):
        ImageFolder(root=root, captions_file="other.csv").check()


def test_too_few_pictures_for_a_split_is_an_error(root: Path, tmp_path: Path) -> None:
    write_captions(root, "txt")
    with pytest.raises(ValueError, match="leave nothing for report"):
        run(ImageFolder(root=root, report_fraction=0.01), tmp_path)


@pytest.mark.parametrize(
    ("fractions", "kind"),
    [
        ({"report_fraction": 0.0}, "constraint"),
        ({"selection_fraction": 1.2}, "constraint"),
        ({"selection_fraction": 0.5, "report_fraction": 0.5}, "rule"),
    ],
    ids=["none", "more-than-all", "no-training"],
)
def test_fractions_must_leave_training_data(
    tmp_path: Path, fractions: dict[str, Any], kind: str
) -> None:
    (problem,) = problems_of(ImageFolder, root=str(tmp_path), **fractions)
    assert problem.kind == kind
    assert kind == "rule" or problem.where in fractions
