"""The job store: what is reused, what runs again, and what a failure leaves."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pool_files
import pytest
import toys
import yaml
from dry_run import shown_jobs
from pool_files import FORMATS
from toy_project import CHAIN, Project, data_job, experiment, merge, values

from sandbox.samples import media_folder, shards
from sandbox.store.content import ContentHashes, canonical


def write_pool(name: str, *texts: str, **keys: Any) -> Path:
    """A pool of these texts in the working directory."""
    path = Path(name)
    path.write_text("".join(json.dumps({"text": text, **keys}) + "\n" for text in texts))
    return path


def training(**also: Any) -> tuple[str, dict[str, Any]]:
    """A training, with ``also`` added to its node."""
    return "train_model", merge(
        {"executor": {"_target_": "toys.Training", "dataset_path": "a.jsonl"}}, also
    )


def reader(path: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A job that reads a file."""
    return "evaluate_data", {
        "eval_obj": None,
        "evaluator": {"_target_": "toys.Reader", "dataset_path": path, **arguments},
    }


def test_a_second_run_repeats_nothing(chain: Project) -> None:
    first = chain.run("chain")
    before = {
        path: path.stat().st_mtime_ns for path in (chain.root / "outputs").rglob("record.json")
    }
    chain.ran()
    assert chain.run("chain") == first
    assert chain.ran() == []
    assert {
        p: p.stat().st_mtime_ns for p in (chain.root / "outputs").rglob("record.json")
    } == before


@pytest.mark.parametrize(
    ("overrides", "again"),
    [
        (["network=big"], ["training data.jsonl big 0.1 0", "score big None"]),
        (
            ["jobs.data.executor.num_rows=5"],
            ["rows row 5", "training data.jsonl small 0.1 0", "score small None"],
        ),
        (
            ["+jobs.train.executor.learning_rate=0.2"],
            ["training data.jsonl small 0.2 0", "score small None"],
        ),
        (["+jobs.train.executor.num_steps=5"], ["training data.jsonl small 0.1 0"]),
        (["jobs.score.eval_type=strict"], ["score small strict"]),
        (["compute=local", "watcher.project=other", "experiment_name=other"], []),
        (["+jobs.train.compute={_target_: sandbox.compute.local.Local}"], []),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_a_change_reruns_only_the_jobs_it_reaches(
    chain: Project, overrides: list[str], again: list[str]
) -> None:
    """Five steps give the same checkpoint as three: its reader is reused."""
    chain.run("chain")
    chain.ran()
    chain.run("chain", *overrides)
    assert chain.ran() == again
    chain.run("chain")
    assert chain.ran() == [], "and the old results are still there"


def test_the_bytes_of_an_input_file_count(project: Project) -> None:
    write_pool("a.jsonl", "one", "two")
    project.write("toy", experiment({"read": reader("a.jsonl")}))
    project.run("toy")
    os.utime("a.jsonl")
    project.run("toy")
    assert project.ran() == ["reader a.jsonl"], "a new time alone changes nothing"
    write_pool("a.jsonl", "one", "twa")
    project.run("toy")
    assert project.ran() == ["reader a.jsonl"]
    write_pool("a.jsonl", "one", "two")
    project.run("toy")
    assert project.ran() == [], "the first content is recorded"


def test_files_in_lists_and_folders_count(project: Project) -> None:
    write_pool("a.jsonl", "one")
    folder = Path("folder/deep")
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text("x")
    Path("y.txt").write_text("y")
    project.write("toy", experiment({"read": reader("a.jsonl", more=["folder", "y.txt"])}))
    for change in (
        lambda: None,
        lambda: Path("y.txt").write_text("z"),
        lambda: (folder / "x.txt").write_text("z"),
        lambda: (folder / "new.txt").write_text(""),
        lambda: (folder / "x.txt").rename(folder / "v.txt"),
    ):
        change()
        project.run("toy")
        assert project.ran() == ["reader a.jsonl"]
        project.run("toy")
        assert project.ran() == []


@pytest.mark.parametrize("absolute", [True, False])
def test_the_pictures_of_a_pool_count(project: Project, absolute: bool) -> None:
    Path("images").mkdir()
    picture = Path("images/1.png")
    picture.write_bytes(b"red")
    write_pool("a.jsonl", "one", images=[str(picture.absolute() if absolute else picture)])
    project.write("toy", experiment({"read": reader("a.jsonl")}))
    project.run("toy")
    project.run("toy")
    assert project.ran() == ["reader a.jsonl"]
    picture.write_bytes(b"blue")
    project.run("toy")
    assert project.ran() == ["reader a.jsonl"]


@pytest.mark.parametrize("ending", FORMATS)
def test_the_pictures_beside_a_pool_count_in_every_format(tmp_path: Path, ending: str) -> None:
    pool = pool_files.write_pool(tmp_path, "a", [{"images": ["1.png"]}], ending)
    picture = media_folder(*shards(pool)) / "1.png"
    picture.write_bytes(b"red")
    before = ContentHashes(tmp_path / "store").of(pool)
    assert ContentHashes(tmp_path / "store").of(pool) == before
    picture.write_bytes(b"blue")
    assert ContentHashes(tmp_path / "store").of(pool) != before


@pytest.mark.parametrize("ending", FORMATS)
def test_a_damaged_pool_has_a_hash(tmp_path: Path, ending: str) -> None:
    """Its reader reports the damage, with the name of the file."""
    pool = pool_files.write_pool(tmp_path, "a", [{"images": ["1.png"]}], ending)
    (shard,) = shards(pool)
    shard.write_bytes(shard.read_bytes()[:-3])
    assert ContentHashes(tmp_path / "store").of(pool)


@pytest.mark.parametrize("stable", [True, False])
def test_a_forced_job_reaches_its_readers_only_if_its_outputs_changed(
    project: Project, stable: bool
) -> None:
    jobs = {
        "make": data_job("Unstable", stable=stable),
        "read": reader("${output:make.path}"),
        "other": data_job("Add"),
    }
    project.write("toy", experiment(jobs))
    project.run("toy")
    project.ran()
    project.run("toy", "force=[make]")
    assert project.ran() == ["unstable"] + ([] if stable else ["reader numbers.txt"])
    project.run("toy")
    assert project.ran() == [], "forcing lasts for one run"


def test_forcing_runs_a_job_once_in_a_run_of_several_iterations(project: Project) -> None:
    jobs = {"base": data_job("Add"), "grow": data_job("Add", start="${previous:grow.value, 0}")}
    project.write("toy", experiment(jobs, max_iterations=2))
    project.run("toy")
    project.ran()
    project.run("toy", "force=base")
    assert project.ran() == ["add 0 1"]


def test_one_more_pool_is_one_more_training(project: Project) -> None:
    for name in ("a", "b", "c"):
        write_pool(f"{name}.jsonl", *name * 2)
    job = training(
        executor={"dataset_path": "???"}, map={"executor": {"dataset_path": ["a.jsonl", "b.jsonl"]}}
    )
    project.write("toy", experiment({"train": job}))
    project.run("toy")
    assert len(project.ran()) == 2
    project.run("toy", "jobs.train.map.executor.dataset_path=[c.jsonl,b.jsonl,a.jsonl]")
    assert project.ran() == ["training c.jsonl small 0.1 0"]
    names = [
        json.loads(Path(p).with_name("request.json").read_text())
        for p in project.info("train")["checkpoint_path"]
    ]
    assert len(names) == 3


def test_a_new_version_of_a_component_runs_it_again(
    chain: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.run("chain")
    chain.ran()
    monkeypatch.setattr(toys.Rows, "VERSION", 2)
    chain.run("chain")
    assert chain.ran() == ["rows row 4"], "its data are the same as before"


def test_a_changed_source_of_the_same_version_is_reused_and_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = project.root / "mine.py"
    text = (
        "from dataclasses import dataclass\n"
        "from sandbox.executors import BaseDataExecutor\n"
        "@dataclass(frozen=True)\n"
        "class One:\n"
        "    value: int\n"
        "class Mine(BaseDataExecutor):\n"
        "    VERSION = 1\n"
        "    def run(self, *, scope) -> One:\n"
        "        return One(1)\n"
    )
    source.write_text(text)
    body = experiment(
        {"mine": ("general_data_executor", {"executor": {"_target_": "mine.Mine"}})},
        objective="mine.value",
    )
    project.write("toy", body)
    paths = {
        "SANDBOX_ALLOW_TARGETS": "mine.*",
        "PYTHONPATH": os.pathsep.join([project.variables["PYTHONPATH"], str(project.root)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert project.main("toy", **paths).code == 0
    source.write_text(text.replace("One(1)", "One(22)"))
    outcome = project.main("toy", **paths)
    assert (
        "source of mine.Mine changed" in outcome.text and "objective mine.value = 1" in outcome.text
    )
    source.write_text(text.replace("One(1)", "One(22)").replace("VERSION = 1", "VERSION = 2"))
    outcome = project.main("toy", **paths)
    assert "source of" not in outcome.text and "objective mine.value = 22" in outcome.text


@pytest.mark.parametrize("harm", ["changed", "deleted"])
def test_an_output_that_is_not_as_recorded_is_noticed(
    chain: Project, harm: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    chain.run("chain")
    chain.ran()
    path = Path(chain.info("data")["path"])
    path.write_text("broken") if harm == "changed" else path.unlink()
    chain.run("chain", "dry_run=true")
    assert "changed since it was recorded" in shown_jobs(capsys.readouterr().out)["data"].reason
    chain.run("chain")
    assert "data.jsonl is missing or was changed" in caplog.text
    assert chain.ran() == ["rows row 4"], "its readers find what they had"
    assert len(path.read_text().splitlines()) == 4


def test_a_broken_record_is_noticed(chain: Project, caplog: pytest.LogCaptureFixture) -> None:
    chain.run("chain")
    chain.ran()
    (record,) = chain.records("data")
    record.write_text(record.read_text()[:100])
    chain.run("chain")
    assert chain.ran() == ["rows row 4"]
    assert str(record) in caplog.text


def test_a_job_that_fails_after_writing_has_no_record_and_starts_afresh(project: Project) -> None:
    (project.gate / "break").touch()
    jobs = {
        "make": data_job("Unstable", error_once_done=True),
        "read": reader("${output:make.path}"),
    }
    project.write("toy", experiment(jobs))
    with pytest.raises(RuntimeError, match="broke after writing"):
        project.run("toy")
    assert project.ran() == ["unstable"] and project.records("make") == []
    (folder,) = (project.root / "outputs/store/make").iterdir()
    (attempt,) = folder.glob("attempts/*/failure.json")
    failure = json.loads(attempt.read_text())
    assert "broke after writing" in failure["error"] and Path(failure["log"]).exists()
    (folder / "out" / "half.txt").write_text("half")
    (project.gate / "break").unlink()
    project.run("toy")
    assert project.ran() == ["unstable", "reader numbers.txt"]
    assert [path.name for path in (folder / "out").iterdir()] == ["numbers.txt"]
    assert [*folder.glob("attempts/*/out/half.txt")], "nothing is deleted"


def test_a_forced_run_that_fails_puts_the_old_result_back(project: Project) -> None:
    jobs = {
        "make": data_job("Unstable", stable=False, error_once_done=True),
        "read": reader("${output:make.path}"),
    }
    project.write("toy", experiment(jobs))
    project.run("toy")
    (record,) = project.records("make")
    before, content = record.read_text(), Path(project.info("make")["path"]).read_text()
    project.ran()
    (project.gate / "break").touch()
    with pytest.raises(RuntimeError, match="broke after writing"):
        project.run("toy", "force=[make]")
    (project.gate / "break").unlink()
    project.ran()
    project.run("toy")
    assert project.ran() == []
    assert (
        record.read_text() == before and Path(project.info("make")["path"]).read_text() == content
    )


def test_a_resumable_component_finds_the_files_of_its_last_attempt(project: Project) -> None:
    job = ("train_model", {"executor": {"_target_": "toys.ResumableTraining", "num_steps": 5}})
    project.write("toy", experiment({"train": job}))
    for done in (0, 2):
        with pytest.raises(RuntimeError, match="the machine went away"):
            project.run("toy")
        assert project.ran() == [f"resumed at {done}"]
    project.run("toy")
    assert project.ran() == ["resumed at 4"]
    assert Path(project.info("train")["checkpoint_path"]).read_text().split() == [
        "0",
        "1",
        "2",
        "3",
        "4",
    ]
    project.run("toy")
    assert project.metrics()["train.loss"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_a_forced_resumable_component_starts_afresh(project: Project) -> None:
    job = ("train_model", {"executor": {"_target_": "toys.ResumableTraining", "num_steps": 2}})
    project.write("toy", experiment({"train": job}))
    project.run("toy")
    project.run("toy", "force=train")
    assert project.ran() == ["resumed at 0", "resumed at 0"]


def test_recorded_metrics_are_replayed_into_a_new_run(chain: Project) -> None:
    from sandbox.watchers import SandboxWatcher

    chain.run("chain")
    first_dir, first = chain.run_dir, chain.metrics()
    chain.run("chain")
    assert chain.run_dir != first_dir and chain.metrics() == first
    with SandboxWatcher(mode="disabled").open(chain.run_dir) as watcher:
        assert watcher.query("score.accuracy") == pytest.approx(0.4)
        assert watcher.query("train.loss") == pytest.approx(1 / 3)


def test_a_record_describes_its_job(chain: Project) -> None:
    chain.run("chain")
    (path,) = chain.records("train")
    record = json.loads(path.read_text())
    assert record["job"] == "train" and record["fingerprint"] == path.parent.name
    assert record["parts"]["executor.model"] == "small"
    name, content_hash = record["parts"]["executor.dataset_path"]["$content"]
    assert name == "data.jsonl" and len(content_hash) == 64
    assert record["outputs"] == {"checkpoint_path": {"$path": "out/checkpoint.json"}}
    assert list(record["hashes"]) == ["out/checkpoint.json", "metrics.jsonl"]
    assert [line["step"] for line in chain.watched("train")] == [0, 1, 2]
    assert record["run"]["seconds"] >= 0 and record["run"]["host"] and record["run"]["command"]
    assert {"toys", "toys:toy_worker.py"} <= record["run"]["sources"].keys()
    config = yaml.safe_load((path.parent / "config.yaml").read_text())
    assert config["executor"]["dataset_path"] == chain.info("data")["path"]
    assert [log.name for log in (path.parent / "logs").iterdir()] == ["1.log"]


def test_a_store_can_be_moved(chain: Project) -> None:
    chain.run("chain")
    chain.ran()
    shutil.move("outputs", "elsewhere")
    chain.run("chain", "outputs_dir=elsewhere")
    assert chain.ran() == []
    assert chain.info("train")["checkpoint_path"].startswith(str(chain.root / "elsewhere"))


def test_experiments_share_common_jobs(chain: Project) -> None:
    chain.run("chain")
    chain.ran()
    other = yaml.safe_load(CHAIN)
    chain.write(
        "other",
        merge(other, {"experiment_name": "other", "jobs": {"score": {"evaluator": {"offset": 1}}}}),
    )
    assert chain.run("other") == pytest.approx(1.4)
    assert chain.ran() == ["score small None"]


@pytest.mark.parametrize(
    ("prepare", "overrides", "reasons"),
    [
        (None, [], ["new", "depends on data", "depends on train"]),
        ([], [], ["recorded", "recorded", "recorded"]),
        (
            [],
            ["network=big"],
            [
                "recorded",
                "argument executor.model changed from 'small' to 'big'",
                "depends on train",
            ],
        ),
        (
            ["+jobs.train.executor.exit_status=1"],
            ["+jobs.train.executor.exit_status=1"],
            ["recorded", "failed or was cut short before", "depends on train"],
        ),
        ([], ["force=[train]"], ["recorded", "forced", "depends on train"]),
        (
            [],
            ["+jobs.train.executor.learning_rate=0.2", "+jobs.train.executor.num_steps=4"],
            ["recorded", "learning_rate changed", "depends on train"],
        ),
    ],
    ids=["new", "recorded", "argument", "failed", "forced", "two arguments"],
)
def test_dry_run_gives_the_reason_of_each_job(
    chain: Project,
    capsys: pytest.CaptureFixture[str],
    prepare: list[str] | None,
    overrides: list[str],
    reasons: list[str],
) -> None:
    if prepare is not None:
        try:
            chain.run("chain", *prepare)
        except RuntimeError:
            assert prepare
    chain.ran()
    assert chain.run("chain", "dry_run=true", *overrides) is None
    shown = shown_jobs(capsys.readouterr().out)
    assert [*shown] == ["data", "train", "score"]
    for job, reason in zip(shown.values(), reasons, strict=True):
        assert reason in job.reason
    assert chain.ran() == []
    assert [path.name for path in chain.run_dir.iterdir()] == []


def test_dry_run_reports_changed_inputs_and_versions(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pool("a.jsonl", "one")
    project.write("toy", experiment({"read": reader("a.jsonl"), "add": data_job("Add")}))
    project.run("toy")
    write_pool("a.jsonl", "two")
    monkeypatch.setattr(toys.Add, "VERSION", 7)
    project.run("toy", "dry_run=true")
    shown = shown_jobs(capsys.readouterr().out)
    assert [*shown] == ["read", "add"]
    assert "input evaluator.dataset_path changed" in shown["read"].reason
    assert "version of executor changed from 1 to 7" in shown["add"].reason


def test_dry_run_reports_added_and_removed_arguments(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, reason in (
        ({}, "new"),
        ({"b": 1}, "argument executor.value.b is new: 1"),
        ({"a": None, "b": 1}, "argument executor.value.a is new: None"),
        ({"a": 5, "b": 1}, "argument executor.value.a changed from None to 5"),
    ):
        project.write("toy", values("one", one={"executor": {"value": value, "error": None}}))
        capsys.readouterr()
        project.run("toy", "dry_run=true")
        assert f" {reason}\n" in capsys.readouterr().out
        project.run("toy")


def test_dry_run_of_iterations_and_maps(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {
        "many": data_job("Add", also={"map": {"executor": {"start": [1, 2]}}}),
        "grow": data_job("Add", start="${previous:grow.value, 0}"),
    }
    project.write("toy", experiment(jobs, max_iterations=2))
    project.run("toy", "jobs.many.map.executor.start=[2,3]")
    project.run("toy", "dry_run=true")
    shown = shown_jobs(capsys.readouterr().out)
    assert [*shown] == ["many[0]", "many[1]", "grow"]
    assert "argument executor.start changed" in shown["many[0]"].reason
    assert shown["many[1]"].reason == shown["grow"].reason == "recorded"
    assert shown["grow"].inputs == {"executor.start": "previous grow.value"}


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"one")
    first = ContentHashes(tmp_path / "store").of(path)
    assert ContentHashes(tmp_path / "store").of(path) == first
    with (tmp_path / "store/hashes.jsonl").open("a") as memory:
        memory.write('["cut sho')
    path.write_bytes(b"other")
    assert ContentHashes(tmp_path / "store").of(path) != first
    with pytest.raises(FileNotFoundError):
        ContentHashes(tmp_path / "store").of(tmp_path / "nothing")


def test_only_json_has_a_canonical_form() -> None:
    assert canonical({"b": 1, "a": [1.5, None, "ü"]}) == '{"a":[1.5,null,"ü"],"b":1}'
    assert canonical(1) != canonical(1.0) != canonical("1") and canonical(True) != canonical(1)
    with pytest.raises(TypeError):
        canonical({"a": object()})
