"""One's own texts as training and held-out data."""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from contract import problems_of, scope

from sandbox.datasets.text_file import TextFile
from sandbox.samples import read_samples

Row = dict[str, Any]


def texts_of(num_texts: int, seed: int = 0) -> list[str]:
    """Make different texts, of which none resembles another."""
    rng = random.Random(seed)
    return [" ".join(f"word{rng.randrange(5000)}" for _ in range(12)) for _ in range(num_texts)]


def lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_folder(path: Path, rows: Sequence[Row]) -> None:
    path.mkdir()
    (path / "a.jsonl").write_bytes(lines(rows[:30]))
    (path / "b.jsonl.gz").write_bytes(gzip.compress(lines(rows[30:])))
    (path / "README").write_text("no data")


def write_text_folder(path: Path, rows: Sequence[Row]) -> None:
    path.mkdir()
    for name, part in (("a.txt", rows[:30]), ("b.txt", rows[30:])):
        (path / name).write_text("".join(f"{row['text']}\n" for row in part))


Writer = Callable[[Path, Sequence[Row]], Any]

WRITERS: dict[str, Writer] = {
    "my.jsonl": lambda path, rows: path.write_bytes(lines(rows)),
    "my.jsonl.gz": lambda path, rows: path.write_bytes(gzip.compress(lines(rows))),
    "my.jsonl.zst": lambda path, rows: path.write_bytes(zstandard.compress(lines(rows))),
    "my.parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
    "my.csv": write_csv,
    "my.txt": lambda path, rows: path.write_text("".join(f"{row['text']}\r\n" for row in rows)),
    "my.txt.gz": lambda path, rows: path.write_bytes(
        gzip.compress("".join(f"{row['text']}\n" for row in rows).encode())
    ),
    "folder": write_folder,
    "text_folder": write_text_folder,
}


def take(path: Path, folder: Path, **arguments: Any) -> tuple[Row, list[Row], list[Row]]:
    outputs = asdict(TextFile(path=path, **arguments).run(scope=scope(folder)))
    train, heldout = (
        [sample for _, sample in read_samples(outputs[name])]
        for name in ("train_path", "heldout_path")
    )
    return outputs, train, heldout


def write(folder: Path, texts: Sequence[str | None]) -> Path:
    path = folder / "my.jsonl"
    path.write_bytes(lines([{"text": text} for text in texts]))
    return path


def texts_in(samples: Sequence[Row]) -> set[str]:
    return {sample["text"] for sample in samples}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_split(name: str, tmp_path: Path) -> None:
    rows = [
        {"text": f'{text}, "ü"', "source": f"s{number}"} for number, text in enumerate(texts_of(60))
    ]
    path = tmp_path / name
    WRITERS[name](path, rows)
    assert not problems_of(TextFile, path=path)

    outputs, train, heldout = take(path, tmp_path, heldout_fraction=0.3)

    _, plain_train, _ = take(
        write(tmp_path, [row["text"] for row in rows]), tmp_path / "plain", heldout_fraction=0.3
    )
    assert texts_in(train) == texts_in(plain_train)
    assert (len(train), len(heldout)) == (outputs["num_train"], outputs["num_heldout"])
    assert len(train) + len(heldout) == 60
    if "txt" in name or "text" in name:
        assert all(set(sample) == {"text"} for sample in train)
    else:
        assert [row for row in rows if row["text"] in texts_in(train)] == train
    ending = name.partition(".")[2]
    expected = ending if ending.startswith(("jsonl", "parquet")) else "jsonl"
    assert outputs["train_path"].name == f"train.{expected}"


def edited(text: str, rng: random.Random) -> str:
    """Add a word, and change the case and the punctuation of a text."""
    return f"{text.upper()}, {rng.randrange(10**6)}."


@pytest.fixture(scope="module")
def families() -> list[list[str]]:
    """Make 150 texts, each with up to three near-duplicates that resemble each other as well."""
    rng = random.Random(1)
    made = []
    for number in range(150):
        text = " ".join(f"w{rng.randrange(9000)}" for _ in range(40))
        made.append([text, *(edited(text, rng) for _ in range(number % 4))])
    return made


def test_near_duplicates_are_never_on_both_sides(families: list[list[str]], tmp_path: Path) -> None:
    texts = [text for family in families for text in family]
    random.Random(2).shuffle(texts)
    outputs, train, heldout = take(write(tmp_path, texts), tmp_path, heldout_fraction=0.4)
    assert len(train) + len(heldout) == len(texts) == outputs["num_samples"]
    assert outputs["num_near_duplicates"] == len(texts) - len(families)
    assert outputs["num_duplicates"] == 0
    sides = texts_in(train), texts_in(heldout)
    assert all(any(set(family) <= side for side in sides) for family in families)
    num_heldout = sum(set(family) <= sides[1] for family in families)
    assert 0.25 < num_heldout / len(families) < 0.55


def test_the_split_depends_neither_on_the_order_nor_on_other_texts(
    families: list[list[str]], tmp_path: Path
) -> None:
    texts = [text for family in families for text in family]
    _, _, heldout = take(write(tmp_path, texts), tmp_path)
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        _, _, again = take(write(tmp_path, texts), tmp_path, seed=seed)
        assert texts_in(again) == texts_in(heldout)
        assert [row["text"] for row in again] == [
            text for text in texts if text in texts_in(heldout)
        ]
    _, _, more = take(write(tmp_path, [*texts_of(100), *texts]), tmp_path)
    assert texts_in(more) & set(texts) == texts_in(heldout)


def test_a_draw_does_not_depend_on_the_order(tmp_path: Path) -> None:
    texts = texts_of(200)
    arguments = {"num_samples": 50, "heldout_fraction": 0.3}
    outputs, train, heldout = take(write(tmp_path, texts), tmp_path, **arguments)
    assert len(train) + len(heldout) == 50
    assert outputs["num_samples"] == 200
    _, *reverse = take(write(tmp_path, texts[::-1]), tmp_path, **arguments)
    assert [texts_in(side) for side in reverse] == [texts_in(train), texts_in(heldout)]
    _, other, _ = take(write(tmp_path, texts), tmp_path, **arguments, seed=1)
    assert texts_in(other) != texts_in(train)


@pytest.mark.parametrize(("policy", "num_left"), [("drop", 40), ("keep", 43)])
def test_duplicates_and_empty_texts_are_counted_and_named(
    policy: str, num_left: int, tmp_path: Path
) -> None:
    texts = texts_of(40)
    path = write(tmp_path, [*texts, texts[3], None, f" {texts[3]}\n", "", texts[0], " \t"])
    outputs, train, heldout = take(path, tmp_path, heldout_fraction=0.4, duplicates=policy)
    counts = {name: value for name, value in outputs.items() if name.startswith("num_")}
    assert counts == {
        "num_samples": 46,
        "num_train": len(train),
        "num_heldout": len(heldout),
        "num_empty": 3,
        "num_duplicates": 3,
        "num_near_duplicates": 0,
    }
    assert len(train) + len(heldout) == num_left
    assert not texts_in(train) & texts_in(heldout)
    dropped = {row["number"]: row["reason"] for _, row in read_samples(outputs["dropped_path"])}
    expected = {42: "no text", 44: "no text", 46: "no text"}
    if policy == "drop":
        expected |= {41: "same text as 4", 43: "same text as 4", 45: "same text as 1"}
    assert dropped == expected
    assert outputs["summary"].startswith("my.jsonl: 46 samples, ")


def test_nothing_dropped_is_an_empty_list(tmp_path: Path) -> None:
    outputs, *_ = take(write(tmp_path, texts_of(50)), tmp_path)
    assert outputs["dropped_path"].read_text() == ""


@pytest.mark.parametrize("name", ["my.jsonl", "my.parquet", "my.csv"])
def test_another_key_becomes_text(name: str, tmp_path: Path) -> None:
    rows = [{"body": text, "text": "raw", "source": "s"} for text in texts_of(40)]
    WRITERS[name](tmp_path / name, rows)
    assert not problems_of(TextFile, path=tmp_path / name, text_key="body")
    outputs, train, _ = take(tmp_path / name, tmp_path, text_key="body")
    assert train[0] == {"text": rows[0]["body"], "source": "s"}
    assert outputs["train_path"].name == "train.jsonl"


def test_numbers_are_those_of_lines_in_the_file(tmp_path: Path) -> None:
    first, second, *texts = texts_of(40)
    csv_text = f'text\n"{first}\n"\n{second}\n{first}\n' + "\n".join(texts)
    (tmp_path / "my.csv").write_text(csv_text)
    outputs, *_ = take(tmp_path / "my.csv", tmp_path, heldout_fraction=0.3)
    assert json.loads(outputs["dropped_path"].read_text()) == {
        "number": 5,
        "reason": "same text as 3",
    }


def test_relative_media_paths_stay_valid(tmp_path: Path) -> None:
    rows = [{"text": text, "images": ["a.jpg"]} for text in texts_of(40)]
    (tmp_path / "my.jsonl").write_bytes(lines(rows))
    _, train, _ = take(tmp_path / "my.jsonl", tmp_path / "elsewhere")
    assert train[0]["images"] == [str(tmp_path / "a.jpg")]


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        (["a b"] * 9, {}, r"9 samples, 8 duplicates .*: no two texts are left that differ"),
        (["One, two!", "one two", ""], {}, r"1 without text: no two texts are left that differ"),
        (["a b", "c d"], {"heldout_fraction": 0.001}, "leaves no held-out data of the 2 texts"),
        (["a b", "c d"], {"heldout_fraction": 0.999}, "leaves no training data of the 2 texts"),
        (
            [*"abcab"],
            {"duplicates": "error"},
            "2 samples of .*my.jsonl repeat a text, by number: 4 = 1, 5 = 2; duplicates=drop",
        ),
    ],
    ids=["duplicates", "near-duplicates", "no-heldout", "no-training", "error"],
)
def test_a_split_that_is_impossible_is_an_error(
    texts: list[str], arguments: Row, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, texts)
    assert not problems_of(TextFile, path=path, **arguments)
    with pytest.raises(ValueError, match=message):
        take(path, tmp_path, **arguments)


def test_a_sample_without_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl"
    path.write_bytes(lines([{"text": "a"}, {"text": "b"}, {"txt": "c"}]))
    with pytest.raises(ValueError, match=r"my\.jsonl:3: no text under 'text'; keys: txt"):
        take(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my.jsonl", b'{"body": "a"}\n{"body": "b"}\n', ":1: no text under 'text'; keys: body"),
        ("my.jsonl", b'{"text": "a"}\n', "has 1 samples, expected at least 2"),
        ("my.jsonl", b"", "the data pool is empty"),
        ("my.jsonl", b"text,label\n", ":1: not valid JSON"),
        ("my.jsonl.gz", b"no gzip", "cannot be unpacked"),
        ("my.csv", b"body\na\nb\n", ":2: no text under 'text'; keys: body"),
        ("my.csv", b"text\none, two\nb\n", ":2: more fields than the header has columns, 1"),
        ("my.csv", b'text\n"one\nb\n', ":3: cannot be read as CSV"),
        ("my.csv", b"text\n", "has 0 samples, expected at least 2"),
        ("my.txt", b"one text", "has 1 samples, expected at least 2"),
        ("my.txt", b"a\nb \xff\n", ":1: from here on not UTF-8"),
        ("my.doc", b"", r"my\.doc has none of the endings \.jsonl, .*\.csv, \.txt"),
        ("folder/notes.md", b"", "has no file that ends in"),
    ],
)
def test_the_plan_finds_what_the_beginning_of_a_file_shows(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    (problem,) = problems_of(TextFile, path=path.parent if "/" in name else path)
    assert problem.kind == "rule"
    assert re.search(message, problem.text)


def test_a_folder_of_several_kinds_needs_a_choice(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.csv"):
        (tmp_path / name).write_text("")
    (problem,) = problems_of(TextFile, path=tmp_path)
    assert "several kinds: a.jsonl, b.csv" in problem.text


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"path": "none.jsonl"}, "missing_path"),
        ({"heldout_fraction": 1.0}, "constraint"),
        ({"num_samples": 0}, "constraint"),
        ({"near_duplicate_threshold": 0.0}, "constraint"),
        ({"duplicates": "merge"}, "wrong_type"),
    ],
    ids=str,
)
def test_arguments_are_checked(arguments: Row, kind: str, tmp_path: Path) -> None:
    given = {"path": write(tmp_path, ["a", "b"]), **arguments}
    (problem,) = problems_of(TextFile, **given)
    assert (problem.where, problem.kind) == (next(iter(arguments)), kind)
