"""The experiments of the project, small but whole: real data tools, programs and scores."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from toy_project import ROOT

pytestmark = pytest.mark.slow


EXAMPLES = ("data_report", "internvl_files", "likelihood_pools", "ray_processing", "repeat_or_add")
"""Examples that need no files of a user and no download, which all others only plan for."""


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder`` to its end."""
    command = [sys.executable, "-m", "sandbox", *overrides]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def infos(folder: Path, experiment: str) -> dict[str, dict[str, Any]]:
    """Return the results of every job of the last run by name."""
    last = sorted((folder / "outputs" / experiment).iterdir())[-1]
    pipelines = json.loads((last / "context_infos.json").read_text())
    return {info["meta_name"]: info for pipeline in pipelines.values() for info in pipeline}


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR is a Java program")
def test_internvl_coco_goes_from_drawn_pictures_to_a_verdict_and_a_second_run_does_nothing(
    tmp_path: Path,
) -> None:
    first = run(tmp_path, "+experiment=internvl_coco", "+debug=smoke")

    assert first.returncode == 0, first.stderr
    jobs = infos(tmp_path, "internvl_coco")
    assert len(jobs["single_score"]["CIDEr"]) == len(jobs["single_pools"]["paths"]) == 3
    assert (
        jobs["final_train"]["elements"]["executor"]["dataset_path"] == jobs["final_pools"]["paths"]
    )
    sizes = [len(Path(path).read_text().splitlines()) for path in jobs["final_pools"]["paths"]]
    assert len(set(sizes)) == 1
    assert jobs["report"]["lower"] is None
    assert "means nothing" in jobs["report"]["summary"]
    assert jobs["report"]["summary"] in first.stdout
    captions = json.loads(Path(jobs["final_captions"]["captions_path"][0]).read_text())
    assert len(captions) == 12

    second = run(tmp_path, "+experiment=internvl_coco", "+debug=smoke")

    assert second.returncode == 0, second.stderr
    assert "running" not in second.stdout
    again = infos(tmp_path, "internvl_coco")
    assert again["report"] == jobs["report"]


def test_demo_refines_a_recipe_and_compares_with_random_data_of_the_same_size(
    tmp_path: Path,
) -> None:
    outcome = run(tmp_path, "+experiment=demo", "+debug=smoke")

    assert outcome.returncode == 0, outcome.stderr
    jobs = infos(tmp_path, "demo")
    assert 0 < jobs["process"]["num_samples_out"] <= jobs["process"]["num_samples_in"]
    (random_pool,) = jobs["random"]["paths"]
    sizes = [
        len(Path(path).read_text(encoding="utf-8").splitlines())
        for path in (random_pool, jobs["process"]["dataset_path"])
    ]
    assert sizes == [jobs["process"]["num_samples_out"]] * 2
    bits = jobs["perplexity"]["bits_per_byte"]
    assert jobs["perplexity"]["candidates"] == ["train", Path(random_pool).stem, "processed"]
    assert jobs["decision"]["baseline_score"] == pytest.approx(bits[1])
    assert "means nothing" in jobs["decision"]["summary"]
    assert jobs["decision"]["summary"] in outcome.stdout
    assert f"objective best(perplexity.bits_per_byte) = {min(bits):.6g}" in outcome.stdout


def own_data_commands() -> list[list[str]]:
    """Return the words after ``python -m sandbox`` of the commands for data of one's own."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Your own data\n")[2].partition("\n## ")[0]
    lines = re.sub(r"\\\n\s*", "", section).splitlines()
    return [shlex.split(line)[3:] for line in lines if line.startswith("    python -m sandbox")]


def test_own_texts_go_to_a_decision_as_the_readme_shows(tmp_path: Path) -> None:
    first, other_statistics, _ = own_data_commands()
    rng = random.Random(0)
    with (tmp_path / "my.jsonl").open("w") as file:
        for _ in range(200):
            words = [f"word{rng.randrange(2000)}" for _ in range(rng.randint(5, 30))]
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
    small = ("jobs.train.seeds=1", "jobs.train.executor.max_steps=2")

    outcome = run(tmp_path, *first, *small)

    assert outcome.returncode == 0, outcome.stderr
    jobs = infos(tmp_path, "text_pools")
    assert jobs["data"]["num_train"] + jobs["data"]["num_heldout"] == 200
    scores = jobs["ranking"]["scores"]
    assert scores == sorted(jobs["perplexity"]["bits_per_byte"]) and len(scores) == 10
    assert set(jobs["decision"]["candidates"]) == {
        Path(path).stem for path in jobs["pools"]["paths"] if "random" not in path
    }
    assert jobs["decision"]["candidate_score"] == pytest.approx(min(scores), abs=0.2)
    for job in ("data", "decision"):
        assert jobs[job]["summary"] in outcome.stdout

    again = run(tmp_path, *other_statistics, *small)

    assert again.returncode == 0, again.stderr
    store = tmp_path / "outputs" / "store"
    num_done = {job: len(list((store / job).glob("*/record.json"))) for job in jobs}
    # Two of the three statistics are not the same: one is left out, one is new.
    assert num_done == {
        "data": 1,
        "probe": 1,
        "pools": 2,
        "train": 13,
        "perplexity": 13,
        "ranking": 2,
        "decision": 2,
    }


def test_own_pictures_go_to_a_decision_as_the_readme_shows(tmp_path: Path) -> None:
    _, _, command = own_data_commands()
    rng = random.Random(0)
    folder = tmp_path / "my_pictures"
    folder.mkdir()
    for number in range(120):
        size = (rng.randint(16, 64), rng.randint(16, 64))
        picture = folder / f"{number}.png"
        Image.new("RGB", size, (2 * number, rng.randrange(256), 0)).save(picture)
        picture.with_suffix(".txt").write_text(f"A picture, number {number}.\n")
    shutil.copy(folder / "0.png", folder / "copy.png")
    shutil.copy(folder / "0.txt", folder / "copy.txt")

    outcome = run(tmp_path, *command, "+debug=smoke", "scorer=coco_caption_java_free")

    assert outcome.returncode == 0, outcome.stderr
    jobs = infos(tmp_path, "internvl_coco")
    assert jobs["data"]["num_duplicates"] == 1
    for job in ("data", "report"):
        assert jobs[job]["summary"] in outcome.stdout


def test_the_examples_run_offline(tmp_path: Path) -> None:
    """They share a store and run two at a time, as they would on a small machine."""
    pair = tmp_path / "pair.jsonl"
    pair.write_text('{"prompt": "Describe."}\n')
    picture = tmp_path / "picture.jsonl"
    picture.write_text('{"images": ["1.png"]}\n{"images": ["2.png"]}\n')
    commands = [[f"+experiment=examples/{name}"] for name in EXAMPLES]
    commands.append(
        ["+experiment=examples/prompt_pairs", f"pictures=[{picture}]", f"prompts=[{pair}]"]
    )
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(pool.map(lambda words: run(tmp_path, *words), commands))
    for words, outcome in zip(commands, outcomes, strict=True):
        assert outcome.returncode == 0, f"{words}: {outcome.stderr}"

    report = infos(tmp_path, "examples/data_report")
    assert report["process"]["num_samples_out"] < report["process"]["num_samples_in"]
    assert 0 < report["distance"]["mean_ks"] < 1
    meta = json.loads(
        Path(infos(tmp_path, "examples/internvl_files")["meta"]["meta_path"]).read_text()
    )
    assert meta["coco_caption"]["length"] > 0
    pools = infos(tmp_path, "examples/likelihood_pools")["pools"]
    assert pools["names"] == [f"lm_log_likelihood_{part}" for part in ("low", "middle", "high")]
    assert infos(tmp_path, "examples/ray_processing")["distance"]["js_divergence_1"] == 0
    ranking = infos(tmp_path, "examples/repeat_or_add")["ranking"]
    assert ranking["scores"] == sorted(ranking["scores"]) and len(ranking["scores"]) == 3
    (pairs,) = infos(tmp_path, "examples/prompt_pairs")["pairs"]["paths"]
    assert len(Path(pairs).read_text().splitlines()) == 2
