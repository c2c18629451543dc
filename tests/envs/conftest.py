"""Packages to install, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from package_sources import Sources, write_sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Sources of packages in ``tmp_path``."""
    return write_sources(tmp_path)
