"""Durable files, what killed writers leave behind, and why a folder cannot be used."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from sandbox.system.files import absence, obstacle, write_durably


def left(folder: Path, name: str, age_s: float) -> Path:
    """Make what a killed writer of ``config.yaml`` leaves."""
    path = folder / name
    path.write_text("half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_the_next_write_removes_what_killed_writers_left(tmp_path: Path) -> None:
    left(tmp_path, ".config.yaml.0123abcd", 5)
    kept = [
        left(tmp_path, ".config.yaml.more.0123abcd", 5),
        left(tmp_path, ".other.yaml.0123abcd", 5),
        left(tmp_path, "config.yaml.0123abcd", 5),
    ]
    write_durably(tmp_path / "config.yaml", "all")
    assert {*tmp_path.iterdir()} == {*kept, tmp_path / "config.yaml"}


def test_what_another_process_is_writing_now_stays(tmp_path: Path) -> None:
    young = left(tmp_path, ".config.yaml.00000000", 0)
    locked = left(tmp_path, ".config.yaml.11111111", 5)
    with locked.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_durably(tmp_path / "config.yaml", "all")
    assert {*tmp_path.iterdir()} == {young, locked, tmp_path / "config.yaml"}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_durably(tmp_path / "config.yaml", "all")
    assert not [*tmp_path.iterdir()]


def test_an_obstacle_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert obstacle(tmp_path / "new/folder") == ""
    assert "is a file" in obstacle(tmp_path / "file/below")
    assert "File name too long" in obstacle(tmp_path / ("n" * 300))
    assert "File name too long" in absence(tmp_path / ("n" * 300))
    assert absence(tmp_path / "file") == ""
    assert "does not exist" in absence(tmp_path / "nothing")
