"""The campaign of bad inputs, in short: one try of every class and a few more."""

from __future__ import annotations

import subprocess
import sys

import pytest
from toy_project import ROOT

CAMPAIGN = ROOT / "scripts/campaigns/bad_input.py"


@pytest.mark.slow
def test_bad_inputs_end_at_once_with_one_short_message() -> None:
    command = [sys.executable, str(CAMPAIGN), "--rounds", "69", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
