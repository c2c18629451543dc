"""Cost of a piece of work; measured in fresh processes, whose counters begin at zero."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from toy_project import ROOT

from sandbox.system.usage import UsageMeter

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
HOLD = "held = bytearray(300 * 2**20)\n"
WRITE = "import os\nwith open('big', 'wb') as f: f.write(bytes(8 * 2**20)); os.fsync(f.fileno())\n"
MEASURE = """
import json, subprocess, sys
from dataclasses import asdict
from sandbox.system.usage import UsageMeter
{before}
with UsageMeter() as meter:
    {block}
    usage = meter.usage()
print(json.dumps(asdict(usage)))
"""
HERE, PROGRAM = "exec({code!r})", "subprocess.run([sys.executable, '-c', {code!r}], check=True)"


def measured(folder: Path, block: str, before: str = "", **variables: str) -> dict[str, Any]:
    """Return the cost of a block of code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(block=block, before=before)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("form", [HERE, PROGRAM], ids=["in the process", "in a program"])
def test_time_memory_and_bytes_of_a_process_and_its_programs_count(
    tmp_path: Path, form: str
) -> None:
    code = BURN + HOLD + WRITE
    usage = measured(tmp_path, form.format(code=code))
    assert usage["seconds"] >= usage["cpu_seconds"] / 8 > 0
    assert usage["cpu_seconds"] >= 0.3
    assert 300 <= usage["peak_memory_mb"] < 900
    # a file system in memory writes nothing
    assert usage["written_mb"] == 0 or 8 <= usage["written_mb"] < 80


def test_what_came_before_does_not_count(tmp_path: Path) -> None:
    before = PROGRAM.format(code=BURN + HOLD + WRITE)
    usage = measured(tmp_path, "pass", before)
    assert usage["cpu_seconds"] < 0.3
    assert usage["peak_memory_mb"] < 300
    assert usage["written_mb"] < 8


def test_gpus_that_a_process_may_use_count(tmp_path: Path) -> None:
    block = "import time; time.sleep(0.1)"
    usage = measured(tmp_path, block, CUDA_VISIBLE_DEVICES="3,5")
    assert usage["gpu_seconds"] == pytest.approx(2 * usage["seconds"], abs=0.02)
    assert measured(tmp_path, block, CUDA_VISIBLE_DEVICES="")["gpu_seconds"] == 0


def test_the_meter_can_be_read_in_any_process() -> None:
    with UsageMeter() as meter:
        usage = asdict(meter.usage())
    assert all(value >= 0 for value in usage.values())
