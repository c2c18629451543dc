"""The caption data set of drawn pictures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of, scope
from PIL import Image

from sandbox.datasets.shapes_caption import ShapesCaption

SMALL: dict[str, Any] = {
    "num_train": 40,
    "num_warmup": 5,
    "num_selection": 6,
    "num_report": 7,
    "image_size": 48,
}
NO_DIRT = {"junk": 0.0, "mismatch": 0.0, "tiny": 0.0, "strip": 0.0}


def make(folder: Path, **arguments: Any) -> dict[str, Any]:
    folder.mkdir()
    return asdict(ShapesCaption(**{**SMALL, **arguments}).run(scope=scope(folder)))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def captions_of(content: dict[str, Any], image_id: int) -> list[str]:
    return [row["caption"] for row in content["annotations"] if row["image_id"] == image_id]


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_every_split_has_its_pictures_with_five_captions(tmp_path: Path) -> None:
    outputs = make(tmp_path / "shapes")
    seen: set[int] = set()
    for split, count in (("warmup", 5), ("train", 40), ("selection", 6), ("report", 7)):
        content = read(outputs[f"{split}_path"])
        assert len(content["images"]) == count
        for image in content["images"]:
            assert image["id"] not in seen
            seen.add(image["id"])
            with Image.open(outputs["image_dir"] / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
            captions = captions_of(content, image["id"])
            assert len(captions) == 5
            assert all(captions)


def test_dirt_is_dealt_out_exactly_and_to_the_training_pictures_alone(tmp_path: Path) -> None:
    outputs = make(tmp_path / "shapes", blur=0.1)
    dirt = Counter(image.get("dirt") for image in read(outputs["train_path"])["images"])
    assert dirt == {"junk": 8, "mismatch": 2, "blur": 4, "tiny": 6, "strip": 6, None: 14}
    for split in ("warmup", "selection", "report"):
        assert not any("dirt" in image for image in read(outputs[f"{split}_path"])["images"])


def test_every_kind_of_dirt_matches_its_name(tmp_path: Path) -> None:
    dirty = read(make(tmp_path / "dirty", blur=0.1)["train_path"])
    clean = read(make(tmp_path / "clean", **NO_DIRT)["train_path"])
    true_captions = [captions_of(clean, image["id"]) for image in clean["images"]]
    for image, true in zip(dirty["images"], true_captions, strict=True):
        captions = captions_of(dirty, image["id"])
        kind = image.get("dirt")
        assert (captions == true) == (kind not in ("junk", "mismatch"))
        assert (captions in true_captions) == (kind != "junk")
        assert (max(image["width"], image["height"]) <= 5) == (kind == "tiny")
        longer, shorter = sorted((image["width"], image["height"]), reverse=True)
        assert (longer >= 6 * shorter) == (kind == "strip")


def test_same_seed_same_bytes_in_another_process_and_another_seed_differs(tmp_path: Path) -> None:
    make(tmp_path / "here")
    program = (
        "import pathlib, sys; from sandbox.datasets.shapes_caption import ShapesCaption;"
        "from contract import scope;"
        "folder = pathlib.Path(sys.argv[1]); folder.mkdir();"
        f"ShapesCaption(**{SMALL!r}).run(scope=scope(folder))"
    )
    for hash_seed in ("1", "2"):
        there = tmp_path / f"there{hash_seed}"
        search_path = f"{Path.cwd()}:{Path.cwd() / 'tests/support'}"
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": search_path}
        subprocess.run([sys.executable, "-c", program, str(there)], check=True, env=environment)
        assert digest(tmp_path / "here") == digest(there)
    make(tmp_path / "other", seed=1)
    assert digest(tmp_path / "here") != digest(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"num_train": 0}, "num_train"),
        ({"num_captions": 7}, "num_captions"),
        ({"image_size": 8}, "image_size"),
        ({"junk": 1.5}, "junk"),
        ({"blur": -0.1}, "blur"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_argument_out_of_range_is_refused(arguments: dict[str, Any], where: str) -> None:
    (problem,) = problems_of(ShapesCaption, **arguments)
    assert (problem.where, problem.kind) == (where, "constraint")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"junk": 0.6, "tiny": 0.6}, "add up to 1.4, more than 1"),
        ({"num_train": 1}, "mismatch needs at least 2"),
    ],
    ids=["dirt", "mismatch"],
)
def test_arguments_must_fit_together(arguments: dict[str, Any], message: str) -> None:
    (problem,) = problems_of(ShapesCaption, **arguments)
    assert problem.kind == "rule" and message in problem.text


def test_fractions_of_dirt_may_add_up_to_exactly_1() -> None:
    fractions = {"junk": 0.0, "mismatch": 0.05, "blur": 0.55, "tiny": 0.3, "strip": 0.1}
    assert sum(fractions.values()) > 1 and not problems_of(ShapesCaption, **fractions)
