"""Fixtures of the tests of pools."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool_samples import MakePool


@pytest.fixture
def make_pool(tmp_path: Path) -> MakePool:
    def make(name: str, lines: list[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"
