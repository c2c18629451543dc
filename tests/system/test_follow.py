"""A file is followed while others append to it, replace it or cut it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.system.follow import LONGEST_LINE, FileFollower


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_only_complete_new_lines_are_returned(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    follower = FileFollower(path)
    assert [*follower.read_lines()] == []
    append(path, b"one\ntwo\nthr")
    assert [*follower.read_lines()] == ["one", "two"]
    assert [*follower.read_lines()] == []
    append(path, b"ee\n\nfour")
    assert [*follower.read_lines()] == ["three", ""]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_every_kind_of_line_end_counts_once(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "log.txt"
    follower = FileFollower(path)
    found: list[str] = []
    for byte in b"10%" + end + b"20%" + end + b"done\n":
        append(path, bytes([byte]))
        found += follower.read_lines()
    assert found == ["10%", "20%", "done"]


def test_a_line_may_hold_any_character_but_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    append(path, "a\u2028b\x0cc\n".encode() + b"\xff broken\n")
    assert [*FileFollower(path).read_lines()] == ["a\u2028b\x0cc", "\ufffd broken"]


def test_following_starts_at_the_given_byte(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    append(path, b"before\n")
    follower = FileFollower(path, path.stat().st_size)
    append(path, b"after\n")
    assert [*follower.read_lines()] == ["after"]


def test_a_character_cut_in_two_is_returned_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    follower = FileFollower(path)
    first, second = "ü".encode()[:1], "ü".encode()[1:]
    append(path, b"x" + first)
    assert "".join(follower.read_text()) == "x"
    append(path, second + b"y")
    assert "".join(follower.read_text()) == "üy"


@pytest.mark.parametrize("content", [b"new\n", b"new, and longer than before\n"], ids=len)
def test_a_replaced_file_is_read_from_its_beginning(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, b"old line\nunfinished")
    follower = FileFollower(path, path.stat().st_size)
    path.rename(tmp_path / "aside.jsonl")
    append(path, content)
    assert [*follower.read_lines()] == [content.decode().strip()]


def test_a_file_that_became_shorter_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    append(path, b"a long first line\nand more")
    follower = FileFollower(path)
    assert [*follower.read_lines()]
    path.write_bytes(b"short\n")
    assert [*follower.read_lines()] == ["short"]


@pytest.mark.parametrize("steps", [1, 7], ids=["at once", "in pieces"])
def test_the_rest_of_an_endless_line_is_skipped(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "log.txt"
    follower = FileFollower(path)
    content = b"first\n" + b"x" * (5 * LONGEST_LINE) + b"\r\nlast\n"
    found: list[str] = []
    for start in range(0, len(content), len(content) // steps + 1):
        append(path, content[start : start + len(content) // steps + 1])
        found += follower.read_lines()
    assert found == ["first", "x" * LONGEST_LINE, "last"]
    assert follower.offset == len(content)


def test_an_unfinished_endless_line_is_read_again_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    append(path, b"first\n" + b"x" * (3 * LONGEST_LINE))
    follower = FileFollower(path)
    assert [*follower.read_lines()] == ["first"]
    assert follower.offset == len(b"first\n")


def test_a_fifo_in_place_of_a_file_counts_as_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.txt")
    assert [*FileFollower(tmp_path / "log.txt").read_lines()] == []
