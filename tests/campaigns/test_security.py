"""The short form of the campaign of attacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/campaigns/security.py"


def test_no_attack_succeeds() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rounds", "60", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attempts                                     60" in done.stdout
