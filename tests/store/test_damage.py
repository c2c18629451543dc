"""Damaged files of the store: each means "no record", is reported, and the job runs again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from dry_run import shown_jobs
from toy_project import Project

from sandbox.components.tree import children
from sandbox.compute.slurm.watch import Submission
from sandbox.store.claims import take
from sandbox.store.metrics import metrics_event
from sandbox.store.records import Content, JobRecord, JobStore
from sandbox.system.liveness import Owner

WRONG: list[Any] = [None, [], {}, 3, 1e999, "x", True, {"a": {"b": [{}]}}, {"$path": 3}, 10**400]


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    """A store with one record."""
    store = JobStore(tmp_path / "store")
    folder = store.folder("train", "0123")
    claim = take(folder, "train", lambda: False)
    assert claim
    out = folder / "out"
    out.mkdir()
    (out / "a.txt").write_text("a")
    record = JobRecord(
        job="train",
        fingerprint="0123",
        attempt=claim.number,
        parts={"_target_": "a.B", "rate": 0.1, "data": Content("a.jsonl", "ff"), "names": ["a"]},
        outputs={"path": out, "score": 1, "nested": {"a": [1, {"b": None}]}, "nan": float("nan")},
        hashes={str(out): store.hashes.of(out)},
        metrics=[{"metrics": {"loss": 1.5}, "step": 1}],
        run={"ended": 1.0, "seconds": 2.0, "command": ["x"]},
    )
    store.commit(record, claim)
    claim.release()
    return store


def damaged(data: Any) -> Iterator[Any]:
    """Yield the data with every value at any depth replaced by each wrong one, or left out."""
    yield from WRONG
    for place in [*places(data)]:
        *above, last = place
        for wrong in WRONG:
            copy = deepcopy(data)
            parent = copy
            for key in above:
                parent = parent[key]
            if repr(parent[last]) != repr(wrong):
                parent[last] = wrong
                yield copy
        del parent[last]
        yield copy


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, child in children(data):
        yield (*place, key)
        yield from places(child, (*place, key))


def test_a_whole_record_is_found(store: JobStore) -> None:
    record = store.find("train", "0123")
    assert record and record.attempt == 1 and record.outputs["score"] == 1
    assert record.parts["data"] == Content("a.jsonl", "ff")
    assert store.attempts("train") == {"0123": 1}


def test_a_record_with_any_damaged_value_is_none(store: JobStore) -> None:
    path = store.folder("train", "0123") / "record.json"
    good = json.loads(path.read_text())
    count = 0
    for data in damaged(good):
        path.write_text(json.dumps(data))
        assert store.find("train", "0123") is None, data
        assert store.others("train") == [], data
        count += 1
    assert count > 300
    path.write_text(json.dumps(good))
    assert store.find("train", "0123")


def test_a_record_that_was_cut_short_or_is_no_json_is_none(store: JobStore) -> None:
    path = store.folder("train", "0123") / "record.json"
    whole = path.read_bytes()
    cut = [whole[:end] for end in range(0, len(whole), 7)]
    for content in [*cut, b"\xff" + whole, whole + b"}", b"[" * 100_000, b"9" * 5000]:
        path.write_bytes(content)
        assert store.find("train", "0123") is None
    path.unlink()
    path.mkdir()
    assert store.find("train", "0123") is None


def test_a_damaged_record_is_reported_once(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.folder("train", "0123") / "record.json"
    path.write_text("[]")
    for _ in range(3):
        JobStore(store.root).find("train", "0123")
    assert caplog.text.count(f"{path} is no record") == 1


@pytest.mark.parametrize("name", ["train/4567", "score/0123"])
def test_a_record_answers_only_for_the_job_and_fingerprint_of_its_folder(
    store: JobStore, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(store.folder("train", "0123"), store.root / name)
    assert store.find(*name.split("/")) is None
    assert "copied from train/0123" in caplog.text


def test_an_output_of_another_kind_is_noticed(store: JobStore) -> None:
    out = store.folder("train", "0123") / "out"
    (out / "a.txt").unlink()
    (out / "a.txt").mkdir()
    assert JobStore(store.root).find("train", "0123") is None


def test_known_hashes_are_only_a_shortcut(
    store: JobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.move(store.root, tmp_path / "moved")
    memory = tmp_path / "moved/hashes.jsonl"
    memory.write_text(f"[]\n3\n{{}}\n{'[' * 100_000}\n[3, 3, 3, 3, 3]\n")
    assert JobStore(tmp_path / "moved").find("train", "0123")
    memory.unlink()
    shutil.move(tmp_path / "moved", tmp_path / "again")
    (tmp_path / "again/hashes.jsonl").mkdir()
    assert JobStore(tmp_path / "again").find("train", "0123")
    assert caplog.text.count("content hashes are not remembered") == 1


def test_an_owner_of_a_wrong_shape_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    for data in damaged(vars(Owner.this_process())):
        path.write_text(json.dumps(data))
        owner = Owner.read(path)
        assert owner is None or str(owner)


def test_a_submission_of_a_wrong_shape_is_none(tmp_path: Path) -> None:
    submission = Submission("1_2", "folder/%j", "comment", "driver.json")
    submission.write(tmp_path)
    assert Submission.read(tmp_path) == submission
    for data in damaged(vars(submission)):
        (tmp_path / "slurm.json").write_text(json.dumps(data))
        found = Submission.read(tmp_path)
        assert found is None or all(isinstance(each, str) for each in vars(found).values())


def test_a_metric_of_a_wrong_shape_is_left_out() -> None:
    good = {"metrics": {"loss": 1.5}, "step": 1}
    assert metrics_event(json.dumps(good)) == good
    for data in damaged(good):
        event = metrics_event(json.dumps(data))
        if event is not None:
            assert all(f"{value:.4g}" for value in event["metrics"].values())
            assert event["step"] is None or event["step"] + 0


@pytest.mark.parametrize("name", ["record.json", "owner.json", "failure.json", "hashes.jsonl"])
@pytest.mark.parametrize("damage", ["[]", "{}", "3", "folder"])
def test_a_job_runs_again_whatever_file_is_damaged(
    chain: Project, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chain.run("chain")
    (record,) = chain.records("train")
    attempt = record.parent / "attempts/1"
    record.rename(attempt / "failure.json")
    folders = {"record.json": record.parent, "hashes.jsonl": record.parents[2]}
    path = folders.get(name, attempt) / name
    path.unlink(missing_ok=True)
    path.mkdir() if damage == "folder" else path.write_text(damage)
    chain.ran()
    chain.run("chain", "dry_run=true")
    reason = shown_jobs(capsys.readouterr().out)["train"].reason
    is_record = name == "record.json"
    assert reason == ("its record is damaged" if is_record else "failed or was cut short before")
    chain.run("chain")
    assert chain.ran() == ["training data.jsonl small 0.1 0"]
    chain.run("chain")
    assert chain.ran() == []
    assert len(chain.records("train")) == 1


@pytest.mark.parametrize("owner", ["[]", '{"host": [], "pid": {}}', "folder"])
def test_a_claim_of_an_unknown_owner_is_taken_over(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    monkeypatch.setenv("SANDBOX_LOST_AFTER_S", "1")
    folder = store.folder("train", "0123")
    attempt = folder / "attempts/2"
    attempt.mkdir()
    (attempt / "claim").touch()
    path = attempt / "owner.json"
    path.mkdir() if owner == "folder" else path.write_text(owner)
    claim = take(folder, "train", lambda: False)
    assert claim and claim.number == 3
    claim.release()
