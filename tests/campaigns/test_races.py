"""The short form of the campaign of races."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/campaigns/races.py"


@pytest.mark.slow
def test_of_many_drivers_one_does_each_job(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "1", "--drivers", "16", "--seed", "2"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
