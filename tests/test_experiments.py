"""The experiments that come with the project, small but whole: real data tools, workers and scores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder`` to its end."""
    command = [sys.executable, "-m", "sandbox", *overrides, "+debug=smoke"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def infos(folder: Path, experiment: str) -> dict[str, dict[str, Any]]:
    """What every job of the last run returned, by name."""
    last = sorted((folder / "outputs" / experiment).iterdir())[-1]
    pipelines = json.loads((last / "context_infos.json").read_text())
    return {info["meta_name"]: info for pipeline in pipelines.values() for info in pipeline}


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR is a Java program")
def test_internvl_coco_goes_from_drawn_pictures_to_a_verdict_and_a_second_run_does_nothing(
    tmp_path: Path,
) -> None:
    first = run(tmp_path, "+experiment=internvl_coco")

    assert first.returncode == 0, first.stderr
    jobs = infos(tmp_path, "internvl_coco")
    assert len(jobs["single_score"]["CIDEr"]) == len(jobs["single_pools"]["paths"]) == 3
    assert (
        jobs["final_train"]["elements"]["executor"]["dataset_path"] == jobs["final_pools"]["paths"]
    )
    sizes = [len(Path(path).read_text().splitlines()) for path in jobs["final_pools"]["paths"]]
    assert len(set(sizes)) == 1
    assert jobs["report"]["lower"] <= jobs["report"]["difference"] <= jobs["report"]["upper"]
    assert jobs["report"]["summary"] in first.stdout
    captions = json.loads(Path(jobs["final_captions"]["captions_path"][0]).read_text())
    assert len(captions) == 12

    second = run(tmp_path, "+experiment=internvl_coco")

    assert second.returncode == 0, second.stderr
    assert "running" not in second.stdout
    again = infos(tmp_path, "internvl_coco")
    assert again["report"] == jobs["report"]


def test_demo_refines_a_recipe_and_measures_what_it_did(tmp_path: Path) -> None:
    outcome = run(tmp_path, "+experiment=demo")

    assert outcome.returncode == 0, outcome.stderr
    jobs = infos(tmp_path, "demo")
    assert 0 < jobs["process"]["num_samples_out"] <= jobs["process"]["num_samples_in"]
    assert jobs["perplexity"]["perplexity"] > 1
    assert (
        f"objective perplexity.bits_per_byte = {jobs['perplexity']['bits_per_byte']:.6g}"
        in outcome.stdout
    )
