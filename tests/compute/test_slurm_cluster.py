"""``scripts/slurm_cluster``: clusters side by side, which leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import ROOT, until

SCRIPT = ROOT / "scripts" / "slurm_cluster"
pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture
def folder(cluster_dir: Path) -> Iterator[Path]:
    """An empty folder with a short path, where there can be clusters."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as made:
        yield Path(made)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


def processes(directory: Path) -> list[str]:
    """Processes that know of a cluster's folder."""
    known = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            known += [str(path.parent)] if os.fsencode(directory) in path.read_bytes() else []
        except OSError:
            continue
    return known


def test_a_cluster_goes_away_with_its_jobs_and_takes_nothing_from_another(folder: Path) -> None:
    for name in ("one", "two"):
        up = run("up", folder / name, "--nodes", 1, "--until", os.getpid())
        assert up.returncode == 0, up.stderr
        assert up.stdout == f"export SLURM_CONF={folder / name}/slurm.conf\n"
    environment = {**os.environ, "SLURM_CONF": f"{folder}/one/slurm.conf"}
    submit = ["sbatch", f"--output={folder}/log.txt", "--wrap=echo began; sleep 600"]
    subprocess.run(submit, check=True, env=environment, capture_output=True)
    until(
        lambda: (folder / "log.txt").exists() and (folder / "log.txt").read_text() != "",
        "it did not run",
    )
    assert run("down", folder / "one").returncode == 0
    assert not processes(folder / "one") and not (folder / "one").exists()
    assert run("status", folder / "two").stdout.count("idle") == 2, "a node, in two partitions"
    assert run("down", folder / "two").returncode == 0
    assert not processes(folder / "two")


def test_a_cluster_ends_with_the_process_that_it_is_for(folder: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        assert run("up", folder / "one", "--until", process.pid).returncode == 0
        process.kill()
    until(lambda: not (folder / "one").exists() and not processes(folder / "one"), "it goes on")


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    (folder / "mine.txt").touch()
    assert "not empty" in run("up", folder).stderr
    assert "holds no cluster" in run("down", folder).stderr
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
