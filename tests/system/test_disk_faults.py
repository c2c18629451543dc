"""Files that are complete or absent, on disks that are full or faulty."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.system.files import (
    append_line,
    fault_text,
    is_fault,
    require_regular,
    write_durably,
)


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_cannot_be_written_keeps_its_content_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_durably(path, "before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_durably(path, "after")
    assert fault_text(caught.value) == f"{path}: No space left on device"
    assert is_fault(caught.value)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {path.name: "before"}


def test_a_line_that_was_cut_short_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "folder/lines.jsonl"
    append_line(path, "one")
    path.write_bytes(path.read_bytes() + b"cut sh")
    append_line(path, "two")
    assert path.read_text().splitlines() == ["one", "cut sh", "two"]


def test_a_line_is_written_whole_or_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines.jsonl"
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    append_line(path, "a long line")
    assert path.read_text() == "a long line\n"
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        append_line(path, "another")
    assert caught.value.filename == str(path)


@pytest.fixture
def special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """Paths that are no data, by their kind."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        yield {
            "a FIFO": Path("link"),
            "a socket": Path("socket"),
            "a device": Path("/dev/zero"),
        }


def test_only_regular_files_and_folders_are_data(special: dict[str, Path], tmp_path: Path) -> None:
    for kind, path in special.items():
        with pytest.raises(ValueError, match=f"{path} is {kind}, expected a regular file"):
            require_regular(path)
    for path in (tmp_path, Path(__file__), tmp_path / "absent"):
        require_regular(path)
