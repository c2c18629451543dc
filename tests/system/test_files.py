"""Durable files, and why a folder cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.system.files import absence, obstacle, write_durably


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
