"""The short form of the campaign of kills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/campaigns/kill.py"


@pytest.mark.slow
def test_after_kills_at_random_moments_nothing_is_lost_repeated_or_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "4", "--seed", "5"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
